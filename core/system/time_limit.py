"""A limit on how long a piece of Python may take, kept by an alarm."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..data.errors import UserError

_AGAIN_SECONDS = 0.2


@contextmanager
def time_limit(seconds: float, error: UserError) -> Iterator[None]:
    """Raise `error` within this context once the seconds are over, and again until it is left: the code that runs here
    may swallow it. Signals reach the main thread only, which is where workers work; elsewhere there is no limit."""
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
