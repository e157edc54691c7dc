"""In which order an operation flushes files to disk and gives them their names: what a power cut would leave of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class DiskOrder:
    """By inode: when a file or folder was flushed, with its size and time of change then; when it got its name."""

    flushes: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)
    count: int = 0

    def unflushed(self, folder: Path, mark: Path) -> list[str]:
        """What lies beneath a folder and was not flushed as it is now before `mark` (a file in it, or the folder
        itself) got its name."""
        named = self.names[mark.stat().st_ino]
        left = []
        for path in [folder, *folder.rglob("*")]:
            found = path.stat()
            flushes = [flush for flush in self.flushes.get(found.st_ino, ()) if flush[0] < named]
            state = (found.st_size, found.st_mtime_ns)
            if path != mark and not any(path.is_dir() or flush[1:] == state for flush in flushes):
                left.append(str(path.relative_to(folder)))
        return left

    def keeps_name(self, path: Path) -> bool:
        """Whether a path's folder was flushed after the path got its name, so that a power cut leaves the name."""
        return any(
            flush[0] > self.names[path.stat().st_ino] for flush in self.flushes.get(path.parent.stat().st_ino, ())
        )


@contextmanager
def disk_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[DiskOrder]:
    """Record what this process flushes and renames."""
    order = DiskOrder()
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def flushed(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        order.count += 1
        order.flushes.setdefault(found.st_ino, []).append((order.count, found.st_size, found.st_mtime_ns))

    def naming(function: Any) -> Any:
        def named(source: Any, target: Any, **options: Any) -> None:
            order.count += 1
            order.names[os.stat(source).st_ino] = order.count
            function(source, target, **options)

        return named

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", flushed)
        patch.setattr(os, "rename", naming(rename))
        patch.setattr(os, "replace", naming(replace))
        yield order
