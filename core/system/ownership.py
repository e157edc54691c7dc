"""Who owns a workspace: one process at a time, by an flock that the system lets go when the process ends."""

import contextlib
import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..data.errors import StoreUnusable, WorkspaceLocked

LOCK = "store.lock"
"""The file in a workspace that its owner holds locked."""


def hold_workspace(workspace: Path, owner: str) -> TextIO:
    """Make the workspace's folder if there is none and own it until the file that is returned is closed.

    Raises `WorkspaceLocked` if another process holds it, `StoreUnusable` if nothing can be written there.
    """
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        return acquire_lock(workspace / LOCK, owner)
    except OSError as error:
        raise not_writable(workspace, str(error.strerror)) from error


def not_writable(workspace: Path, reason: str) -> StoreUnusable:
    """The sentence for a workspace in which nothing can be written."""
    return StoreUnusable(f"The workspace {workspace} cannot be written to ({reason}). Choose another with --workspace.")


def still_held(lock: TextIO, workspace: Path) -> bool:
    """Whether the workspace's lock file is still the one that was locked: removed or replaced, it keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(workspace / LOCK))
    except FileNotFoundError:
        return False


def is_held(workspace: Path) -> bool:
    """Whether some process owns the workspace now."""
    return is_locked(workspace / LOCK)


def acquire_lock(path: Path, owner: str) -> TextIO:
    """Lock the file for this process and write into it who holds it; closing the file gives it back.

    Raises `WorkspaceLocked` naming the holder.
    """
    lock = open(path, "a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise WorkspaceLocked(
            f"The workspace {path.parent} is in use by {holder}. Use it there, stop it, or choose another --workspace."
        ) from None
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    # Only for whoever comes second: a disk that is full keeps nobody from reading.
    with contextlib.suppress(OSError):
        os.truncate(lock.fileno(), 0)
        os.write(lock.fileno(), f"{owner} (process {os.getpid()} on {socket.gethostname()}, since {since})\n".encode())
    return lock


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock file now."""
    if not path.exists():
        return False
    with open(path, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
