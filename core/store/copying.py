"""Copying the database file while it is open, and putting a copy in its place."""

import subprocess
import sys
import time
from pathlib import Path

import duckdb

from ..data.errors import StoreUnusable, WriteFailed
from ..system.atomic_files import flush_file, rename_durably, replaced_durably, temporary_path
from .change_record import write_record
from .connection import STORE_VERSION, changes_on_disk, count_changes, fetch_all, version_on_disk
from .files import database_path, log_path

_COPY = "import shutil, sys\ntry: shutil.copyfile(*sys.argv[1:])\nexcept OSError as error: sys.exit(error.strerror)"


def copy_database(connection: duckdb.DuckDBPyConnection, source: Path, target: Path) -> int:
    """Copy an open database to `target`, which must not exist; returns how many changes the copy holds.

    To be called where the database is written, so that nothing is written meanwhile. Another process does the copying:
    if this one opened and closed the file, it would lose DuckDB's lock on it. The copy appears under its name when it
    was opened, its log taken into it, and found to hold all changes. Raises `WriteFailed`.
    """
    log, copied_log = log_path(source), log_path(temporary_path(target))
    try:
        with replaced_durably(target) as temporary:
            _copy(source, temporary)
            if log.exists():
                _copy(log, copied_log)
            changes = _take_log_in(temporary)
            if changes != count_changes(connection):
                raise WriteFailed(f"The copy {target} lacks changes that the store has. Nothing was left; try again.")
    except (OSError, duckdb.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise WriteFailed(
            f"The copy {target} cannot be written ({reason}). Nothing was left behind; free the space or choose "
            "another place."
        ) from error
    finally:
        copied_log.unlink(missing_ok=True)
    return changes


def put_in_place(workspace: Path, copy: Path) -> Path | None:
    """Make a copy the workspace's database; the one that was there stays beside it under a dated name, which is
    returned. The caller holds the workspace's lock and has the database closed.

    Raises `StoreUnusable` for a file that is no store of this program or an earlier one, `WriteFailed`.
    """
    path = database_path(workspace)
    temporary = temporary_path(path)
    try:
        _copy(copy, temporary)
        version = version_on_disk(temporary)
        if not 1 <= version <= STORE_VERSION:
            raise StoreUnusable(
                f"{copy} has version {version}; this program reads up to version {STORE_VERSION}. Nothing was changed; "
                "use the program version that wrote it."
            )
        changes = changes_on_disk(temporary)
        flush_file(temporary)
        aside = _put_aside(path)
        rename_durably(temporary, path)
        write_record(workspace, changes, closed=True)
        return aside
    except OSError as error:
        raise WriteFailed(
            f"The workspace {workspace} cannot take {copy} in ({error.strerror}). Free the space, then restore again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _put_aside(path: Path) -> Path | None:
    """Rename a database, its log first: a log must never stand beside a file that it is not of."""
    if not path.exists():
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    aside = path.with_name(f"store.replaced-{stamp}.duckdb")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"store.replaced-{stamp}-{number}.duckdb")
    log = log_path(path)
    if log.exists():
        log.rename(log_path(aside))
    path.rename(aside)
    return aside


def _copy(source: Path, target: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _COPY, str(source), str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(None, (done.stderr.strip().splitlines() or ["the copying process was ended"])[-1])


def _take_log_in(path: Path) -> int:
    """Open a copy, have its log written into it, and count its changes."""
    with duckdb.connect(str(path)) as connection:
        changes = count_changes(connection)
        fetch_all(connection, "FORCE CHECKPOINT")
    return changes
