"""The database of a workspace: one owner, one writer, any number of readers.

One thread writes; each reader gets its own cursor, because a DuckDB connection used by two threads gives wrong results.
Reads that a page waits for are limited (`core.store.page_queries`).
Ownership is an flock on `store.lock`: DuckDB's own lock is lost silently if the owner opens the database file a second
time, so nothing here does.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self, TextIO, TypeVar

import duckdb
import pandas as pd
import pyarrow as pa

from ..data.errors import StoreUnusable
from ..data.filters import RowFilter
from ..data.version import COMMAND
from ..system.ownership import hold_workspace, still_held
from ..system.permission import require_change
from .change_record import write_record
from .connection import fetch_all, to_user_error
from .copying import copy_database
from .files import database_path, log_path
from .map_filters import check_maps
from .opening import OpenedStore, open_whole
from .page_queries import answer
from .query_cache import QueryCache
from .result_cache import ResultCache
from .text_matches import with_matches

_Result = TypeVar("_Result")

_MAX_CACHED_ROWS = 24_000_000
"""Maximum rows of all cached tables together, about 50 bytes each."""
_MAX_CACHED_TABLES = 96
_MAX_CACHED_SEARCHES = 24
"""Searches with cached matches, 16 bytes per match: more than are in use at a time."""


class Database:
    """An open database. Use `open`; close it, or use it as a context manager."""

    def __init__(self, workspace: Path, lock: TextIO, opened: OpenedStore) -> None:
        self.workspace = workspace
        self.opened = opened
        self._path = database_path(workspace)
        self._file = os.stat(self._path)
        self._lock = lock
        self._connection = opened.connection
        self._changes = opened.changes
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._matches = QueryCache("match", _MAX_CACHED_SEARCHES)
        self._cached = QueryCache("cached", _MAX_CACHED_TABLES, _MAX_CACHED_ROWS)
        self._results = ResultCache()

    # Opening and closing

    @classmethod
    def open(cls, workspace: Path, owner: str, accept_loss: bool = False) -> Self:
        """Open the workspace's database, creating both if there are none.

        `owner` names this process to others that want the workspace ("the dashboard", "python -m core score").
        Raises `WorkspaceLocked` if another process owns it, `StoreUnusable` if it cannot be opened or has lost
        changes; `accept_loss` continues without them.
        """
        lock = hold_workspace(workspace, owner)
        try:
            return cls(workspace, lock, open_whole(workspace, accept_loss))
        except BaseException as error:
            lock.close()
            plain = to_user_error(error, database_path(workspace)) if isinstance(error, duckdb.Error) else None
            if plain:
                raise plain from error
            raise

    def close(self) -> None:
        """Finish the pending write, close the database and release the workspace."""
        self._writer.shutdown(wait=True)
        self._connection.close()
        write_record(self.workspace, self._changes, closed=not log_path(self._path).exists())
        self._lock.close()

    @property
    def changes(self) -> int:
        """Number of changes in the store."""
        return self._changes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading and writing

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        except duckdb.Error as error:
            if plain := to_user_error(error, self._path):
                raise plain from error
            raise
        finally:
            cursor.close()

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Rows of a query as a DataFrame, from any thread."""

        def ask() -> pd.DataFrame:
            with self._cursor() as cursor:
                return answer(cursor, lambda: cursor.execute(sql, list(parameters)).df())

        return self._results.result("frame", sql, parameters, ask)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query as tuples, from any thread."""

        def ask() -> list[tuple[Any, ...]]:
            with self._cursor() as cursor:
                return answer(cursor, lambda: fetch_all(cursor, sql, parameters))

        return self._results.result("rows", sql, parameters, ask)

    def arrow(self, sql: str, parameters: Sequence[object] = (), **tables: pa.Table) -> pa.Table:
        """Rows of a query as an Arrow table, from any thread; the query can use `tables` by name."""
        with self._cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            return answer(cursor, lambda: cursor.sql(sql, params=list(parameters)).to_arrow_table())

    def derived(
        self, kind: str, sql: str, parameters: Sequence[object], compute: Callable[[pa.Table], pd.DataFrame]
    ) -> pd.DataFrame:
        """The result of `compute` on a query's rows, cached, from any thread; `kind` identifies the computation."""
        return self._results.result(kind, sql, parameters, lambda: compute(self.arrow(sql, parameters)))

    def batches(
        self, sql: str, parameters: Sequence[object] = (), size: int = 10_000, **tables: pa.Table
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a query as Arrow batches of at most `size` rows, streamed in bounded memory; the query can use
        `tables` by name."""
        with self._cursor() as cursor:
            for name, table in tables.items():
                cursor.register(name, table)
            reader = answer(cursor, lambda: cursor.sql(sql, params=list(parameters)).to_arrow_reader(size))
            while (batch := answer(cursor, lambda: next(reader, None))) is not None:
                yield batch

    def cached_table(
        self, sql: str, parameters: Sequence[object], state: Sequence[object]
    ) -> AbstractContextManager[str]:
        """A cached in-memory table with the rows of a query; see `core.store.query_cache`."""
        return self._cached.table(self, sql, parameters, state)

    def build_scratch(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run a statement that changes only the scratch database, outside the writer thread: it may be slow, and no
        cached result depends on it."""
        with self._cursor() as cursor:
            answer(cursor, lambda: fetch_all(cursor, sql, parameters))

    def table_state(self, table: str) -> list[object]:
        """A value that changes whenever a table is rebuilt while the store is open."""
        sql = "SELECT table_oid FROM duckdb_tables() WHERE table_name = ? AND database_name = current_database()"
        return [row[0] for row in self.rows(sql, [table])]

    def write(self, change: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one change in the writer thread, in one transaction.

        Raises `WriteFailed` if the disk is full, `StoreUnusable` if this process no longer owns the workspace.
        """
        require_change()
        return self._in_writer(self._counted(change), counted=True).result()

    def write_behind(self, change: Callable[[duckdb.DuckDBPyConnection], None]) -> "Future[None]":
        """Like `write`, without waiting: the change may come after a long import. For tables that are only read with
        `arrow` and `batches`: cached results are kept."""
        require_change()
        return self._in_writer(self._counted(change), counted=True, forget=False)

    def write_scratch(self, change: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Like `write`, for a change of the scratch database only: DuckDB allows writes to one database per
        transaction."""
        return self._in_writer(change).result()

    def _counted(
        self, change: Callable[[duckdb.DuckDBPyConnection], _Result]
    ) -> Callable[[duckdb.DuckDBPyConnection], _Result]:
        def with_count(connection: duckdb.DuckDBPyConnection) -> _Result:
            self._check_owned()
            result = change(connection)
            fetch_all(connection, "UPDATE store_change SET changes = changes + 1")
            return result

        return with_count

    def _in_writer(
        self, change: Callable[[duckdb.DuckDBPyConnection], _Result], counted: bool = False, forget: bool = True
    ) -> "Future[_Result]":
        def transaction() -> _Result:
            fetch_all(self._connection, "BEGIN")
            try:
                result = change(self._connection)
                fetch_all(self._connection, "COMMIT")
                return result
            except BaseException as error:
                with contextlib.suppress(duckdb.Error):  # a failed commit has already rolled back
                    fetch_all(self._connection, "ROLLBACK")
                plain = to_user_error(error, self._path) if isinstance(error, duckdb.Error) else None
                if plain:
                    raise plain from error
                raise
            finally:
                if forget:
                    self._results.forget()
                if counted:
                    self._record_changes()

        return self._writer.submit(transaction)

    def _record_changes(self) -> None:
        """Read the count back from the database: a commit that reported failure may have succeeded."""
        with contextlib.suppress(duckdb.Error):
            ((changes,),) = fetch_all(self._connection, "SELECT changes FROM store_change")
            if changes != self._changes:
                self._changes = int(changes)
                write_record(self.workspace, self._changes, closed=False)

    def _check_owned(self) -> None:
        """Raise `StoreUnusable` if lock or database were removed or replaced since they were opened."""
        if still_held(self._lock, self.workspace) and self._is_same_file():
            return
        raise StoreUnusable(
            f"The lock file or database of the workspace {self.workspace} was removed or replaced while this program "
            "had it open, so another program may own it now. Writing has stopped; stop all programs that use it, "
            f"run: {COMMAND} check, then start one again."
        )

    def _is_same_file(self) -> bool:
        try:
            return os.path.samestat(self._file, os.stat(self._path))
        except FileNotFoundError:
            return False

    def copy_to(self, path: Path) -> int:
        """Copy the current database to `path`, which must not exist. Writes wait, reads continue.

        Returns the number of changes in the copy. On failure raises `WriteFailed` and removes the copy.
        """
        return self._writer.submit(copy_database, self._connection, self._path, path).result()

    def searched(self, row_filter: RowFilter) -> RowFilter:
        """The same filter with its text search resolved once for all queries. Raises `SelectionInvalid` for an invalid
        pattern, or a place on a map that the store does not have."""
        check_maps(self, row_filter)
        return with_matches(self, self._matches, row_filter)
