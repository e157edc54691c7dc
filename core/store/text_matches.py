"""Text searches looked up once: their matches lie in memory until other searches take their place."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import duckdb

from ..data.errors import SelectionInvalid
from ..data.filters import RowFilter
from ..data.text_search import TextSearch
from .connection import SCRATCH, fetch_all

if TYPE_CHECKING:
    from .database import Database

MATCHES_KEPT = 24
"""Searches whose matches are kept, 16 bytes a match: more than are in use at a time, so none goes while it is read."""


@dataclass(slots=True)
class Matches:
    """The tables of matches by search and number of examples searched, the last used at the end."""

    tables: OrderedDict[tuple[TextSearch, int], str] = field(default_factory=OrderedDict)
    made: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def with_matches(store: "Database", matches: Matches, row_filter: RowFilter) -> RowFilter:
    """The filter with its search looked up. Examples are only ever added, so their number tells whether a lookup is
    still whole."""
    if not row_filter.search:
        return row_filter
    key = (row_filter.search, int(store.rows("SELECT count(*) FROM example")[0][0]))
    with matches.lock:
        if key not in matches.tables:
            matches.made += 1
            matches.tables[key] = _look_up(store, row_filter.search, matches.made)
        matches.tables.move_to_end(key)
        while len(matches.tables) > MATCHES_KEPT:
            _drop(store, matches.tables.popitem(last=False)[1])
        return replace(row_filter, matches=matches.tables[key])


def _look_up(store: "Database", search: TextSearch, number: int) -> str:
    condition, values = search.condition()
    table = f"{SCRATCH}.main.match_{number:d}"
    try:
        store.write_scratch(
            lambda connection: fetch_all(
                connection, f"CREATE TABLE {table} AS SELECT example_id FROM example WHERE {condition}", values
            )
        )
    except duckdb.InvalidInputException as error:
        problem = str(error).splitlines()[0].removeprefix("Invalid Input Error: ")
        raise SelectionInvalid(
            f"The pattern {search.query!r} cannot be read ({problem}). Correct it, or search for a phrase."
        ) from error
    return table


def _drop(store: "Database", table: str) -> None:
    store.write_scratch(lambda connection: fetch_all(connection, f"DROP TABLE {table}"))
