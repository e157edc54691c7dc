"""Ownership of a workspace: one process at a time, by an flock that the system releases when the process ends."""

import contextlib
import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..data.errors import StoreUnusable, WorkspaceLocked
from .atomic_files import put_back_folders
from .workspace_files import EXPORTS, LOCK, make_private, make_private_folder


def hold_workspace(workspace: Path, owner: str) -> TextIO:
    """Create the workspace's folder if needed and own it until the returned file is closed. It is made private, and an
    export that a kill interrupted is put back.

    Raises `WorkspaceLocked` if another process owns it, `StoreUnusable` if it is not writable.
    """
    try:
        make_private_folder(workspace)
        lock = acquire_lock(workspace / LOCK, owner)
        make_private(workspace)
        if (workspace / EXPORTS).is_dir():
            with contextlib.suppress(OSError):
                put_back_folders(workspace / EXPORTS)
        return lock
    except OSError as error:
        raise not_writable(workspace, str(error.strerror)) from error


def not_writable(workspace: Path, reason: str) -> StoreUnusable:
    """The error for a workspace that is not writable."""
    return StoreUnusable(f"The workspace {workspace} is not writable ({reason}). Choose another with --workspace.")


def still_held(lock: TextIO, workspace: Path) -> bool:
    """Whether the workspace's lock file is still the locked one: if it was removed or replaced, the lock has no
    effect."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(workspace / LOCK))
    except FileNotFoundError:
        return False


def is_held(workspace: Path) -> bool:
    """Whether any process owns the workspace now."""
    return is_locked(workspace / LOCK)


def acquire_lock(path: Path, owner: str) -> TextIO:
    """Lock the file for this process and write the holder's name into it; closing the file releases the lock.

    Raises `WorkspaceLocked` naming the holder.
    """
    lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (held as long as the workspace is)
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
    # Only informs others, so a full disk is not an error here.
    with contextlib.suppress(OSError):
        os.truncate(lock.fileno(), 0)
        os.write(lock.fileno(), f"{owner} (process {os.getpid()} on {socket.gethostname()}, since {since})\n".encode())
    return lock


def is_locked(path: Path) -> bool:
    """Whether any process holds the lock now."""
    if not path.exists():
        return False
    with open(path, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
