"""Small results of queries, kept until something is written: a page asks the same whenever anything on it moves."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import pandas as pd

_Result = TypeVar("_Result", pd.DataFrame, list[tuple[object, ...]])

KEPT = 256
"""Results that are kept, the last used ones."""
MOST_CELLS = 20_000
"""A result with more is not kept: about 200 kB."""


class ResultCache:
    """Results by statement and parameters. `forget` after every write; safe from any thread."""

    def __init__(self) -> None:
        self._results: OrderedDict[tuple[object, ...], object] = OrderedDict()
        self._writes = 0
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Something was written, so every result may be another now."""
        with self._lock:
            self._writes += 1
            self._results.clear()

    def result(self, kind: str, sql: str, parameters: Sequence[object], ask: Callable[[], _Result]) -> _Result:
        """The kept result, or the one that `ask` gives; the caller's own copy in either case."""
        try:
            # With their types: 1, 1.0 and True are equal, and not the same to SQL.
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
                if writes == self._writes:  # else it may be from before a write that has ended meanwhile
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
