"""Who may change a workspace: a check that the dashboard puts in, asked before anything is written or started."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _everybody_may() -> None:
    """The command line and the workers: whoever can start them can write the files anyway."""


_check: Callable[[], None] = _everybody_may
_own_account: ContextVar[bool] = ContextVar("own_account", default=False)


def check_changes_with(check: Callable[[], None]) -> None:
    """Ask `check` before every change; it raises `NotPermitted` where who asks may not make one.

    Called in the thread that asks for the change, so it can look up on whose behalf that thread runs.
    """
    global _check
    _check = check


def require_change() -> None:
    """To be called where something is written or started. Raises `NotPermitted`."""
    if not _own_account.get():
        _check()


@contextmanager
def on_own_account() -> Iterator[None]:
    """What the program does whoever is looking, such as opening the store."""
    token = _own_account.set(True)
    try:
        yield
    finally:
        _own_account.reset(token)
