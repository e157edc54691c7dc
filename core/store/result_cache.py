"""Cache for small query results, cleared on every write: pages repeat the same queries on each rerun."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import pandas as pd

_Result = TypeVar("_Result", pd.DataFrame, list[tuple[object, ...]])

KEPT = 256
"""Maximum number of cached results (least recently used are dropped)."""
MOST_CELLS = 20_000
"""Larger results are not cached [cells]: about 200 kB."""


class ResultCache:
    """Results by statement and parameters. Call `forget` after every write; thread-safe."""

    def __init__(self) -> None:
        self._results: OrderedDict[tuple[object, ...], object] = OrderedDict()
        self._writes = 0
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Clear the cache after a write."""
        with self._lock:
            self._writes += 1
            self._results.clear()

    def result(self, kind: str, sql: str, parameters: Sequence[object], ask: Callable[[], _Result]) -> _Result:
        """The cached result, or the result of `ask`; always a copy."""
        try:
            # With types: 1, 1.0 and True are equal in Python but not in SQL.
            key = (kind, sql, *(_key(value) for value in parameters))
            hash(key)
        except TypeError:
            return ask()
        with self._lock:
            writes = self._writes
            if key in self._results:
                self._results.move_to_end(key)
                found: _Result = self._results[key]  # type: ignore[assignment]
                return found.copy()
        result = ask()
        if _cells(result) <= MOST_CELLS:
            with self._lock:
                if writes == self._writes:  # else it may predate a write that has finished meanwhile
                    self._results[key] = result.copy()
                    while len(self._results) > KEPT:
                        self._results.popitem(last=False)
        return result


def _key(value: object) -> tuple[object, ...]:
    return (list, *map(_key, value)) if isinstance(value, list) else (type(value), value)


def _cells(result: pd.DataFrame | list[tuple[object, ...]]) -> int:
    if isinstance(result, pd.DataFrame):
        return int(result.size)
    return len(result) * len(result[0]) if result else 0
