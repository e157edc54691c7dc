"""Queries that a person waits for on a page: each has a time limit, ends when nobody waits for it any more, and takes
turns with the same person's other queries.

The dashboard says who asks (`find_askers_with`). Commands, workers and the program's own threads have no asker: their
queries run to the end. Writes never come here.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

import duckdb

from ..data import settings
from ..data.errors import QueryStopped
from ..system.permission import is_own_account

_Answer = TypeVar("_Answer")

TURNS_EACH = 2
"""Queries of one person at a time; their others wait."""
TURNS = 16
"""Queries of all people at a time."""
_LOOK_SECONDS = 0.2
_STOP_AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Asker:
    """Who waits for a query. `name`: whose turn it takes. `check_waiting` raises if the answer is no longer wanted; it
    is called in the thread that asked, several times a second."""

    name: str
    check_waiting: Callable[[], None]


def _nobody() -> None:
    """Default for the command line and workers."""


_find_asker: Callable[[], Asker | None] = _nobody
_readers = ThreadPoolExecutor(TURNS, thread_name_prefix="store-reader")
_turns: "WeakValueDictionary[str, threading.Semaphore]" = WeakValueDictionary()
_turns_lock = threading.Lock()


def find_askers_with(find: Callable[[], Asker | None]) -> None:
    """Call `find` for every query, in the thread that asks it; None: it is not limited."""
    global _find_asker
    _find_asker = find


def answer(cursor: duckdb.DuckDBPyConnection, ask: Callable[[], _Answer]) -> _Answer:
    """The result of `ask`, which queries with this cursor. If an asker waits for it, it runs in another thread, and is
    interrupted when the asker is gone or the time is over. Raises `QueryStopped`."""
    asker = _asker()
    if asker is None:
        return ask()
    with taken(_turns_of(asker)):
        asked = _readers.submit(ask)
        try:
            _wait(asker, lambda seconds: bool(wait([asked], seconds).done))
        except BaseException:
            _stop(cursor, asked)
            raise
    return asked.result()


@contextmanager
def taken(lock: "threading.Lock | threading.Semaphore") -> Iterator[None]:
    """Context manager: `lock`, for which an asker waits no longer than for a query."""
    asker = _asker()
    if asker is None:
        lock.acquire()
    else:
        _wait(asker, lambda seconds: lock.acquire(timeout=seconds))
    try:
        yield
    finally:
        lock.release()


def _asker() -> Asker | None:
    return None if is_own_account() else _find_asker()


def _turns_of(asker: Asker) -> threading.Semaphore:
    with _turns_lock:
        return _turns.setdefault(asker.name, threading.Semaphore(TURNS_EACH))


def _wait(asker: Asker, is_over: Callable[[float], bool]) -> None:
    """Wait until `is_over`, which is given how long it may take [seconds]."""
    limit = settings.number("query_seconds")
    until = time.monotonic() + limit
    while not is_over(_LOOK_SECONDS):
        asker.check_waiting()
        if limit and time.monotonic() >= until:
            raise QueryStopped(
                f"A query of this page was stopped after {limit:g} seconds. Try again with fewer filters, or start the "
                "dashboard with a longer LOBASS_QUERY_SECONDS."
            )


def _stop(cursor: duckdb.DuckDBPyConnection, asked: "Future[_Answer]") -> None:
    """End a query, and return when it has ended. An interrupt before a query begins has no effect, hence the loop;
    other cursors are not interrupted."""
    while not asked.cancel() and not asked.done():
        cursor.interrupt()
        wait([asked], _STOP_AGAIN_SECONDS)
