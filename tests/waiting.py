"""Waiting for an event of another process, with a deadline; never for a length of time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")


def wait_for(event: Callable[[], _Value], what: str, seconds: float = 300.0) -> _Value:
    """The event's value as soon as it is true. Raises `TimeoutError` naming `what` did not happen."""
    deadline = time.monotonic() + seconds
    looked_again = threading.Event()
    while time.monotonic() < deadline:
        value = event()
        if value:
            return value
        looked_again.wait(0.01)
    raise TimeoutError(f"{what} did not happen within {seconds:g} seconds")
