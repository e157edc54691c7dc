"""Copies the database file while it is open, and replaces it with a copy."""

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

    Call this in the writer thread, so that nothing is written meanwhile. Another process copies: if this one opened and
    closed the file, it would lose DuckDB's lock on it. The copy gets its name only after it was opened, its WAL merged,
    and all changes were found in it. Raises `WriteFailed`.
    """
    log, copied_log = log_path(source), log_path(temporary_path(target))
    try:
        with replaced_durably(target) as temporary:
            _copy(source, temporary)
            if log.exists():
                _copy(log, copied_log)
            changes = _take_log_in(temporary)
            if changes != count_changes(connection):
                raise WriteFailed(f"The copy {target} is missing changes of the store and was removed. Try again.")
    except (OSError, duckdb.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise WriteFailed(
            f"The copy {target} cannot be written ({reason}) and was removed. Free some space, or choose "
            "another location."
        ) from error
    finally:
        copied_log.unlink(missing_ok=True)
    return changes


def put_in_place(workspace: Path, copy: Path) -> Path | None:
    """Replace the workspace's database with a copy; the old one is kept beside it under a dated name, which is
    returned. The caller holds the workspace's lock and has closed the database.

    Raises `WriteFailed`, or `StoreUnusable` for a file that is not a store of this program version or an earlier one.
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
            f"{copy} cannot be restored into the workspace {workspace} ({error.strerror}). Free space and try again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _put_aside(path: Path) -> Path | None:
    """Rename a database, its WAL first: a WAL must never be beside a file that it does not belong to."""
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
    """Open a copy, merge its WAL, and count its changes."""
    with duckdb.connect(str(path)) as connection:
        changes = count_changes(connection)
        fetch_all(connection, "FORCE CHECKPOINT")
    return changes
