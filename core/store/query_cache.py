"""Tables that pages ask many questions of, made once in memory and kept until others take their place."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .connection import SCRATCH

if TYPE_CHECKING:
    from .database import Database

ROWS_KEPT = 24_000_000
"""Rows of all kept tables together, some 50 bytes each: a table that is in use stays in any case."""
TABLES_KEPT = 96


@dataclass(slots=True)
class _Kept:
    table: str
    rows: int = 0
    uses: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class QueryCache:
    """The kept tables by what they were made from, the last used at the end. Safe from any thread."""

    tables: OrderedDict[tuple[object, ...], _Kept] = field(default_factory=OrderedDict)
    made: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def kept_table(
    store: "Database", kept: QueryCache, sql: str, parameters: Sequence[object], state: Sequence[object]
) -> Iterator[str]:
    """Name of a table with the rows of a query, made on first use; it stays for as long as the block runs.

    `state` says what the query reads: where it is another one, the table is made anew.
    """
    key = (sql, *(str(value) for value in parameters), None, *state)
    entry = _taken(kept, key)
    try:
        with entry.lock:  # whoever asks for the same meanwhile waits for it, others do not
            if not entry.rows:
                store.build_scratch(f"CREATE OR REPLACE TABLE {entry.table} AS {sql}", parameters)
                entry.rows = 1 + int(store.rows(f"SELECT count(*) FROM {entry.table}")[0][0])
        yield entry.table
    finally:
        _give_back(store, kept, entry)


def _taken(kept: QueryCache, key: tuple[object, ...]) -> _Kept:
    with kept.lock:
        if key not in kept.tables:
            kept.made += 1
            kept.tables[key] = _Kept(f"{SCRATCH}.main.kept_{kept.made:d}")
        kept.tables.move_to_end(key)
        kept.tables[key].uses += 1
        return kept.tables[key]


def _give_back(store: "Database", kept: QueryCache, entry: _Kept) -> None:
    """End one use, then drop what is too much: the longest unused first, never the one used last."""
    dropped: list[_Kept] = []
    with kept.lock:
        entry.uses -= 1
        rows = sum(each.rows for each in kept.tables.values())
        for key, each in list(kept.tables.items())[:-1]:
            if rows <= ROWS_KEPT and len(kept.tables) <= TABLES_KEPT:
                break
            if not each.uses:
                rows -= each.rows
                dropped.append(kept.tables.pop(key))
    for each in dropped:
        store.build_scratch(f"DROP TABLE IF EXISTS {each.table}")
