"""Paths of a workspace's store: the database, and its WAL beside it."""

from pathlib import Path


def database_path(workspace: Path) -> Path:
    """The DuckDB file."""
    return workspace / "store.duckdb"


def log_path(database: Path) -> Path:
    """DuckDB's write-ahead log (WAL) of a database: changes that are not in the file yet."""
    return database.with_name(f"{database.name}.wal")
