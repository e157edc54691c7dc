"""A time limit for Python code, enforced by an alarm signal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..data.errors import UserError

_AGAIN_SECONDS = 0.2


@contextmanager
def time_limit(seconds: float, error: UserError) -> Iterator[None]:
    """Raise `error` in this context after `seconds`, and repeatedly until it is left, because code in it may swallow
    the error. Signals only reach the main thread, where workers run; in other threads there is no limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    over = False

    def expire(_signal: int, _frame: FrameType | None) -> None:
        if not over:
            raise error

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        try:
            yield
        finally:
            over = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
