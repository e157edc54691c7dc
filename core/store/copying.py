"""Copies the database file while it is open, and replaces it with a copy."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import duckdb

from ..data.errors import JsonInvalid, StoreUnusable, WriteFailed
from ..data.version import COMMAND
from ..system.atomic_files import (
    create_file,
    flush_file,
    rename_durably,
    replaced_durably,
    temporary_path,
    write_durably,
)
from ..system.untrusted_json import read_json_object
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
    log, copied_log = log_path(source), None
    try:
        with replaced_durably(target) as temporary:
            _copy(source, temporary)
            if log.exists():
                copied_log = log_path(temporary)
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
        if copied_log:
            copied_log.unlink(missing_ok=True)
    return changes


def put_in_place(workspace: Path, copy: Path) -> Path | None:
    """Replace the workspace's database with a copy; the old one is kept beside it under a dated name, which is
    returned. The caller holds the workspace's lock and has closed the database.

    Raises `WriteFailed`, or `StoreUnusable` for a file that is not a store of this program version or an earlier one.
    """
    finish_replacement(workspace)
    path = database_path(workspace)
    temporary = temporary_path(path)
    try:
        os.close(create_file(temporary, path))
        _copy(copy, temporary)
        version = version_on_disk(temporary)
        if not 1 <= version <= STORE_VERSION:
            raise StoreUnusable(
                f"{copy} has version {version}; this program reads up to version {STORE_VERSION}. Nothing was changed; "
                "use the program version that wrote it."
            )
        changes = changes_on_disk(temporary)
        flush_file(temporary)
        aside = _free_name(path) if path.exists() else None
        fields = {"new": temporary.name, "old": aside and aside.name, "changes": changes}
        write_durably(_journal(workspace), [json.dumps(fields).encode()])
        finish_replacement(workspace)
        return aside
    except BaseException as error:
        _undo_replacement(workspace)
        if not isinstance(error, OSError):
            raise
        raise WriteFailed(
            f"{copy} cannot be restored into the workspace {workspace} ({error.strerror}). Free space and try again."
        ) from error
    finally:
        if not _journal(workspace).exists():
            temporary.unlink(missing_ok=True)


def finish_replacement(workspace: Path) -> str | None:
    """Complete a `put_in_place` from its journal, however far it got before a kill; returns a sentence about it, None
    if there was nothing to do. The caller holds the workspace's lock. Raises `OSError`, `StoreUnusable`."""
    path, found = database_path(workspace), _read_journal(workspace)
    if found is None:
        return None
    new, old, changes = found
    if new.exists():
        # The WAL first: it must never be beside a file that it does not belong to.
        if old and log_path(path).exists():
            log_path(path).rename(log_path(old))
        if old and path.exists():
            path.rename(old)
        rename_durably(new, path)
    if not write_record(workspace, changes, closed=True):
        raise OSError(errno.EIO, "its number of changes cannot be recorded")
    _journal(workspace).unlink()
    kept = f" The store before it is {old}." if old else ""
    return f"A restore of a backup that was interrupted has been completed.{kept}"


def _undo_replacement(workspace: Path) -> None:
    """Put the old database back after a failed `put_in_place`, unless the new one is in its place already."""
    path = database_path(workspace)
    with contextlib.suppress(OSError, StoreUnusable):  # what is left to do is done at the next opening
        found = _read_journal(workspace)
        if found is None or not found[0].exists():
            return
        old = found[1]
        if old and not path.exists():
            old.rename(path)
        if old and log_path(old).exists():
            log_path(old).rename(log_path(path))
        _journal(workspace).unlink()


def _journal(workspace: Path) -> Path:
    """The record of a replacement of the database that is under way: new and old (names of files, old may be null),
    changes (of the new one)."""
    return workspace / "store.restoring"


def _read_journal(workspace: Path) -> tuple[Path, Path | None, int] | None:
    """The new file, the place of the old one, and the changes of the new one."""
    journal = _journal(workspace)
    try:
        fields = read_json_object(journal)
        new, old = (name and workspace / Path(name).name for name in (fields["new"], fields["old"]))
        return new, old, int(fields["changes"])
    except FileNotFoundError:
        return None
    except (JsonInvalid, KeyError, TypeError, ValueError) as error:
        raise StoreUnusable(
            f"A restore was interrupted, and its record {journal} cannot be read. Move that file away, then restore "
            f"the backup again with: {COMMAND} restore FILE"
        ) from error


def _free_name(path: Path) -> Path:
    """A name for the database that is replaced."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    aside = path.with_name(f"store.replaced-{stamp}.duckdb")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"store.replaced-{stamp}-{number}.duckdb")
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
