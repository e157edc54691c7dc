"""Atomic files and folders: they appear under their name complete or not at all.

They are written under a temporary name in the same folder and renamed. Those that must survive a crash of the machine
are flushed to disk before the rename, and their folder after it.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .permission import require_change


def write_durably(path: Path, parts: Iterable[bytes]) -> Path:
    """Write a file atomically, also across a crash of the machine; creates its folder if needed."""
    require_change()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(path) as temporary:
        _write(temporary, parts, flush=True)
        rename_durably(temporary, path)
    return path


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file atomically for readers, without flushing it to disk: for files that are soon replaced or can be
    computed again."""
    with _unfinished(path) as temporary:
        _write(temporary, parts, flush=False)
        os.replace(temporary, path)


@contextmanager
def replaced_durably(path: Path) -> Iterator[Path]:
    """A temporary path for code that writes a file by name. When the context ends, that file is flushed and renamed to
    `path`; if the context raises, it is removed."""
    with _unfinished(path) as temporary:
        yield temporary
        flush_file(temporary)
        rename_durably(temporary, path)


@contextmanager
def published_folder(path: Path) -> Iterator[Path]:
    """A new temporary folder that is renamed to `path` when the context ends, replacing an existing folder; if the
    context raises, it is removed. The caller flushes the files in it."""
    temporary, old = temporary_path(path), temporary_path(path, ".old")
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_path(path: Path, ending: str = ".tmp") -> Path:
    """This process's temporary path for the unfinished version of `path` (.tmp), or for the one it replaces (.old)."""
    return path.with_name(f".{path.name}.{os.getpid()}{ending}")


def rename_durably(finished: Path, path: Path) -> None:
    """Rename a flushed file or a folder, within one disk; the rename survives a crash."""
    os.replace(finished, path)
    sync_folder(path.parent)


def flush_file(path: Path) -> None:
    """Flush a closed file's bytes to disk."""
    _flush(path)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a crash."""
    _flush(folder)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """The temporary path of `path`; if the context raises, the file there is removed."""
    temporary = temporary_path(path)
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(path: Path, parts: Iterable[bytes], flush: bool) -> None:
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
        if flush:
            file.flush()
            os.fsync(file.fileno())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
