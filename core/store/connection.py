"""Opens the database file with hardened settings, checks its size, creates it with its schema if it is missing, and
translates DuckDB's errors for users."""

import contextlib
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from ..data import settings
from ..data.errors import SelectionInvalid, SettingInvalid, StoreUnusable, UserError, WorkspaceLocked, WriteFailed
from ..data.loss_roles import IMPORT_COMMAND, IMPORTED
from ..data.version import COMMAND
from ..system.ownership import not_writable
from ..system.workspace_files import LOCK
from .files import database_path, log_path

STORE_VERSION = 10
SCRATCH = "scratch"
"""Name of the in-memory database attached beside the file."""
_RESTORABLE = ("dataset", "run")
"""Tables with a second one, `removed_...`, for what can be restored."""
_NOT_WRITABLE = ("Permission denied", "Read-only file system")
_HEADER_BYTES = 3 * 4096
"""DuckDB's file begins with three headers of this total size; blocks follow."""


def connect(workspace: Path) -> tuple[duckdb.DuckDBPyConnection, int]:
    """The open database and the version of the store in it. Raises `StoreUnusable`."""
    path = database_path(workspace)
    is_new = not path.exists()
    try:
        connection = duckdb.connect(str(path), config=_config(workspace))
        if is_new:
            with contextlib.suppress(OSError):  # a disk without modes
                path.chmod(0o600)
        fetch_all(connection, "SET TimeZone = 'UTC'")
        # It would be printed between a command's JSON lines when a query takes more than two seconds.
        fetch_all(connection, "SET enable_progress_bar = false")
        # For data that is quick to rebuild: lost with the process, and never written to the file.
        fetch_all(connection, f"ATTACH ':memory:' AS {SCRATCH}")
        fetch_all(connection, "SET enable_external_access = false")
        fetch_all(connection, "SET lock_configuration = true")
        _check_size(connection, path)
        version = _version(connection, is_new)
    except duckdb.Error as error:
        raise _refusal(error, path) from error
    return connection, version


def changes_on_disk(path: Path) -> int:
    """Number of changes in a database and its WAL, read without writing to either; 0 for versions that did not count
    them. Raises `StoreUnusable`."""
    try:
        with duckdb.connect(str(path), read_only=True, config=_config(path.parent)) as connection:
            return count_changes(connection)
    except duckdb.Error as error:
        raise _refusal(error, path) from error


def version_on_disk(path: Path) -> int:
    """Store version of a file that no process has open; -1 for a database that is not a store. Raises `StoreUnusable`
    for a file that is not a database."""
    try:
        with duckdb.connect(str(path), read_only=True, config=_config(path.parent)) as connection:
            known = fetch_first(connection, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'store_version'")
            row = fetch_first(connection, "SELECT version FROM store_version") if known else None
            return int(row[0]) if row else -1
    except duckdb.Error as error:
        raise _refusal(error, path) from error


def count_changes(connection: duckdb.DuckDBPyConnection) -> int:
    """Number of changes in the open database; 0 for versions that did not count them."""
    known = fetch_first(connection, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'store_change'")
    row = fetch_first(connection, "SELECT changes FROM store_change") if known else None
    return int(row[0]) if row else 0


def to_user_error(error: duckdb.Error, path: Path) -> UserError | None:
    """A user error for a failed statement if the disk, the memory limit or an imported score that the run lacks is the
    cause; else None."""
    text = str(error).splitlines()[0]
    if isinstance(error, duckdb.BinderException) and (absent := _ABSENT_SCORE.search(text)):
        return SelectionInvalid(
            f"This run has no imported score {absent[1]}. Import it with: {IMPORT_COMMAND}, or remove the filter."
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return SettingInvalid(
            f"The store {path} needs more memory than LOBASS_STORE_MEMORY allows ({settings.text('store_memory')}). "
            "Set it to a larger amount, such as 4GB. What is in the store is kept."
        )
    if any(sign in text for sign in _WRITE_SIGNS):
        return WriteFailed(
            f"The store {path} could not be written ({text.rsplit(': ', 1)[-1]}). Its data is kept and can "
            "still be read; free space on that disk, then try again."
        )
    if isinstance(error, duckdb.FatalException) or any(sign in text for sign in _DAMAGE_SIGNS):
        return StoreUnusable(
            f"The store {path} is damaged ({text}). Find out what is affected with: {COMMAND} check, or restore a "
            f"backup with: {COMMAND} restore FILE"
        )
    return None


# A link or a recipe may name a score that was imported for another dataset.
_ABSENT_SCORE = re.compile(rf"column (?:named )?\"{IMPORTED}([a-z0-9_]+)\"")
_WRITE_SIGNS = ("Could not write", "Failed to commit", "Could not fsync", "Could not truncate", "No space left")
_DAMAGE_SIGNS = ("Corrupt database", "Could not read", "has been invalidated", "INTERNAL")


def _config(workspace: Path) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": settings.text("store_memory"),
        "temp_directory": str(workspace / "spill"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "threads": settings.integer("store_threads") or os.cpu_count() or 1,
    }


def _refusal(error: duckdb.Error, path: Path) -> UserError:
    """The user error for a database that cannot be opened."""
    text = str(error).splitlines()[0]
    if "Could not set lock" in text:
        return WorkspaceLocked(
            f"The store {path} is open in another process ({text.rsplit(': ', 1)[-1]}), although the workspace "
            f"is not locked: its lock file {LOCK} was removed. Stop that process, then start again."
        )
    if denied := next((reason for reason in _NOT_WRITABLE if reason in text), None):
        return not_writable(path.parent, denied)
    if isinstance(error, duckdb.ParserException | duckdb.SyntaxException | duckdb.OutOfMemoryException):
        return SettingInvalid(
            f"The store {path} cannot be opened with its settings ({text}). Correct LOBASS_STORE_MEMORY (such as 4GB) "
            "or LOBASS_STORE_THREADS."
        )
    if "replaying WAL" in text:
        log = log_path(path).name
        return StoreUnusable(
            f"The store {path} has lost its last changes: its log (WAL) {log} is damaged ({text.rsplit(': ', 1)[-1]}). "
            f"Nothing was changed; put the right file back, restore a backup with: {COMMAND} restore FILE, or move "
            f"{log} away and continue without these changes with: {COMMAND} check --accept-loss"
        )
    if (failed := to_user_error(error, path)) and isinstance(failed, WriteFailed):
        return failed
    return StoreUnusable(
        f"The store {path} cannot be opened ({text}). Nothing was changed; restore a backup of it with: "
        f"{COMMAND} restore FILE, or choose another --workspace."
    )


def _check_size(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Compare the file's size with the database's: DuckDB opens a truncated file and fails on a later read.

    Only used blocks count: free ones at the end need not be in the file.
    """
    block_size, blocks = fetch_all(
        connection,
        "SELECT block_size, used_blocks FROM pragma_database_size() WHERE database_name = current_database()",
    )[0]
    expected, found = _HEADER_BYTES + block_size * blocks, path.stat().st_size
    if found < expected:
        connection.close()
        raise StoreUnusable(
            f"The store {path} cannot be opened: it is truncated ({found:,} of {expected:,} bytes). "
            "Nothing was changed; restore a backup of it, or choose another --workspace."
        )


def _version(connection: duckdb.DuckDBPyConnection, is_new: bool) -> int:
    """The version of the store; a new database becomes one of this version, and so does one without tables."""
    try:
        # Asked first: to list tables takes longer than all else of opening a store.
        row = None if is_new else fetch_first(connection, "SELECT version FROM store_version")
    except duckdb.CatalogException:
        if fetch_first(connection, "SELECT count(*) FROM duckdb_tables()") != (0,):
            raise
        is_new, row = True, None
    if is_new:
        fetch_all(connection, "BEGIN")
        fetch_all(connection, resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8"))
        fetch_all(connection, "INSERT INTO store_version VALUES (?)", [STORE_VERSION])
        fetch_all(connection, "INSERT INTO store_change VALUES (0)")
        fetch_all(connection, "COMMIT")
        return STORE_VERSION
    return int(row[0]) if row else -1


def fetch_all(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    """Run one statement and fetch everything: an unfinished result blocks its connection."""
    return connection.execute(sql, list(parameters)).fetchall()


def fetch_first(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> tuple[Any, ...] | None:
    """First row of a statement, or None."""
    return next(iter(fetch_all(connection, sql, parameters)), None)


def next_id(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """The next free id of a table, from 1; only for the writer. What can be restored keeps its id."""
    column = f"{table}_id"
    removed = f" UNION ALL SELECT {column} FROM removed_{table}" if table in _RESTORABLE else ""
    row = fetch_first(connection, f"SELECT coalesce(max({column}), 0) + 1 FROM (SELECT {column} FROM {table}{removed})")
    return int(row[0]) if row else 1
