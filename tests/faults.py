"""Faults of a disk, for real: the n-th write point of an operation fails as the system would let it fail.

A write point is a file opened for writing, a rename, a folder made, or a flush to disk, beneath one folder. Python asks
its audit hooks before each of these; a hook that raises makes it fail. What libraries write on their own (DuckDB,
Arrow) is met by a limit on the size of files, which the system enforces.
"""

import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATHS = {"open": 0, "os.rename": 1, "os.mkdir": 0, "os.link": 1}


@dataclass(slots=True)
class FailingDisk:
    """A disk under `folder` whose write point number `at` (from 1) fails with `code`; `points` counts them all."""

    folder: Path
    at: int
    code: int = errno.ENOSPC
    points: int = 0

    def meet(self, what: str) -> None:
        """Count a write point; raises `OSError` at the one that is to fail."""
        self.points += 1
        if self.points == self.at:
            raise OSError(self.code, os.strerror(self.code), what)


_disk: FailingDisk | None = None
_installed = False
_fsync = os.fsync


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _disk is None or event not in _PATHS:
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return
    path = arguments[_PATHS[event]]
    if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(str(_disk.folder)):
        _disk.meet(os.fsdecode(path))


def _flush(descriptor: int) -> None:
    if _disk is not None:
        _disk.meet("flushing to disk")
    _fsync(descriptor)


@contextmanager
def failing_disk(folder: Path, at: int = 0, code: int = errno.ENOSPC) -> Iterator[FailingDisk]:
    """A disk that fails once, at write point `at`; with 0 it only counts."""
    global _disk, _installed
    if not _installed:
        sys.addaudithook(_listen)
        _installed = True
    os.fsync = _flush
    _disk = FailingDisk(folder, at, code)
    try:
        yield _disk
    finally:
        _disk, os.fsync = None, _fsync


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: a write that would is refused by the system, whoever makes it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
