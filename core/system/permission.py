"""Permission to change a workspace: a check installed by the dashboard, called before anything is written or
started."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _everybody_may() -> None:
    """Default for the command line and workers: their users can write the files anyway."""


_check: Callable[[], None] = _everybody_may
_own_account: ContextVar[bool] = ContextVar("own_account", default=False)


def check_changes_with(check: Callable[[], None]) -> None:
    """Call `check` before every change; it raises `NotPermitted` if the user may not make changes.

    It is called in the thread that makes the change, so it can look up that thread's user.
    """
    global _check
    _check = check


def require_change() -> None:
    """Call this before writing or starting anything. Raises `NotPermitted`."""
    if not is_own_account():
        _check()


def is_own_account() -> bool:
    """Whether what runs is the program's own change (`on_own_account`)."""
    return _own_account.get()


@contextmanager
def on_own_account() -> Iterator[None]:
    """Context manager for the program's own changes, such as opening the store, whoever is logged in."""
    token = _own_account.set(True)
    try:
        yield
    finally:
        _own_account.reset(token)
