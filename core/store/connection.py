"""Opening the database file: hardened, its size checked, made with its schema where there is none."""

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from core import settings
from core.errors import StoreUnusable

STORE_VERSION = 2
SCRATCH = "scratch"
"""Name of the database in memory that stands beside the file."""
_HEADER_BYTES = 3 * 4096
"""DuckDB's file begins with three headers of this total size; blocks follow."""


def connect(workspace: Path) -> tuple[duckdb.DuckDBPyConnection, int]:
    """The open database and the version of the store in it. Raises `StoreUnusable`."""
    path = workspace / "store.duckdb"
    spill = workspace / "spill"
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.text("store_memory"),
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "threads": settings.integer("store_threads") or os.cpu_count() or 1,
    }
    try:
        connection = duckdb.connect(str(path), config=config)
        fetch_all(connection, "SET TimeZone = 'UTC'")
        # For what is quick to make again: gone with the process, and never a write to the file.
        fetch_all(connection, f"ATTACH ':memory:' AS {SCRATCH}")
        fetch_all(connection, "SET enable_external_access = false")
        fetch_all(connection, "SET lock_configuration = true")
        _check_size(connection, path)
        version = _version(connection)
    except duckdb.Error as error:
        raise StoreUnusable(
            f"The store {path} cannot be opened ({str(error).splitlines()[0]}). "
            "Nothing was changed; restore a backup of it, or choose another --workspace."
        ) from error
    return connection, version


def _check_size(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """DuckDB opens a file that lost its end and fails on some later read: compare what it says with what is there.

    Used blocks only: free ones at the end need not be in the file.
    """
    block_size, blocks = fetch_all(
        connection,
        "SELECT block_size, used_blocks FROM pragma_database_size() WHERE database_name = current_database()",
    )[0]
    expected, found = _HEADER_BYTES + block_size * blocks, path.stat().st_size
    if found < expected:
        connection.close()
        raise StoreUnusable(
            f"The store {path} cannot be opened: it has lost its end ({found:,} of {expected:,} bytes). "
            "Nothing was changed; restore a backup of it, or choose another --workspace."
        )


def _version(connection: duckdb.DuckDBPyConnection) -> int:
    tables = fetch_first(connection, "SELECT count(*) FROM duckdb_tables()")
    if tables == (0,):
        fetch_all(connection, "BEGIN")
        fetch_all(connection, resources.files("core.store").joinpath("schema.sql").read_text(encoding="utf-8"))
        fetch_all(connection, "INSERT INTO store_version VALUES (?)", [STORE_VERSION])
        fetch_all(connection, "COMMIT")
    row = fetch_first(connection, "SELECT version FROM store_version")
    return int(row[0]) if row else -1


def fetch_all(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> list[tuple[Any, ...]]:
    """Run one statement to its end: an unfinished result blocks whatever its connection does next."""
    return connection.execute(sql, list(parameters)).fetchall()


def fetch_first(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> tuple[Any, ...] | None:
    """First row of a statement, or None."""
    return next(iter(fetch_all(connection, sql, parameters)), None)


def next_id(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = fetch_first(connection, f"SELECT coalesce(max({table}_id), 0) + 1 FROM {table}")
    return int(row[0]) if row else 1
