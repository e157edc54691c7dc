"""Query results cached as in-memory tables, with least-recently-used eviction."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..system.permission import on_own_account
from .connection import SCRATCH
from .page_queries import taken


class ScratchExecutor(Protocol):
    """Runs statements in the scratch database, and reads from it; implemented by `Database`."""

    def build_scratch(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement in the scratch database."""

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""


@dataclass(slots=True)
class _CachedTable:
    name: str
    rows: int | None = None
    uses: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class QueryCache:
    """Cached tables by query, in order of last use. Thread-safe.

    If there are more than `max_rows` rows in total, or more than `max_tables` tables, the least recently used ones are
    dropped, but never one in use, nor the most recently used.
    """

    def __init__(self, name: str, max_tables: int, max_rows: int | None = None) -> None:
        self.max_tables, self.max_rows = max_tables, max_rows
        self._name = name
        self._tables: OrderedDict[tuple[object, ...], _CachedTable] = OrderedDict()
        self._made = 0
        self._lock = threading.Lock()

    @contextmanager
    def table(
        self, scratch: ScratchExecutor, sql: str, parameters: Sequence[object], state: Sequence[object]
    ) -> Iterator[str]:
        """Context manager: name of a table with the rows of a query, created on first use.

        `state` identifies the data that the query reads: if it differs, the table is rebuilt.
        """
        entry = self._take((sql, *(str(value) for value in parameters), None, *state))
        try:
            with taken(entry.lock):  # callers with the same query wait for it, others do not
                if entry.rows is None:
                    scratch.build_scratch(f"CREATE OR REPLACE TABLE {entry.name} AS {sql}", parameters)
                    entry.rows = int(scratch.rows(f"SELECT count(*) FROM {entry.name}")[0][0])
            yield entry.name
        finally:
            for dropped in self._give_back(entry):
                with on_own_account():  # whoever asked may be gone, the table still has to go
                    scratch.build_scratch(f"DROP TABLE IF EXISTS {dropped.name}")

    def _take(self, key: tuple[object, ...]) -> _CachedTable:
        with self._lock:
            if key not in self._tables:
                self._made += 1
                self._tables[key] = _CachedTable(f"{SCRATCH}.main.{self._name}_{self._made:d}")
            self._tables.move_to_end(key)
            self._tables[key].uses += 1
            return self._tables[key]

    def _give_back(self, entry: _CachedTable) -> list[_CachedTable]:
        """End one use; returns the tables to drop."""
        dropped: list[_CachedTable] = []
        with self._lock:
            entry.uses -= 1
            rows = sum(each.rows or 0 for each in self._tables.values())
            for key, each in list(self._tables.items())[:-1]:
                if (self.max_rows is None or rows <= self.max_rows) and len(self._tables) <= self.max_tables:
                    break
                if not each.uses:
                    rows -= each.rows or 0
                    dropped.append(self._tables.pop(key))
        return dropped
