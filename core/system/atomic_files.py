"""Atomic files and folders: they appear under their name complete or not at all.

They are written under a temporary name of their own in the same folder and renamed. Those that must survive a crash of
the machine are flushed to disk before the rename, and their folder after it. A file that is replaced keeps its mode; a
new one is private in a workspace, and as the umask has it elsewhere.
"""

import contextlib
import fcntl
import glob
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .permission import require_change
from .workspace_files import is_in_workspace

_OLD = re.compile(r"\.(?P<name>.+)\.\d+\.[0-9a-f]{16}\.old")


def write_durably(path: Path, parts: Iterable[bytes]) -> Path:
    """Write a file atomically, also across a crash of the machine; creates its folder if needed."""
    require_change()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(path) as (temporary, descriptor):
        _write(descriptor, parts, flush=True)
        rename_durably(temporary, path)
    return path


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file atomically for readers, without flushing it to disk: for files that are soon replaced or can be
    computed again."""
    with _unfinished(path) as (temporary, descriptor):
        _write(descriptor, parts, flush=False)
        os.replace(temporary, path)


@contextmanager
def replaced_durably(path: Path) -> Iterator[Path]:
    """A temporary path for code that writes a file by name. When the context ends, that file is flushed and renamed to
    `path`; if the context raises, it is removed."""
    with _unfinished(path) as (temporary, descriptor):
        os.close(descriptor)
        yield temporary
        flush_file(temporary)
        rename_durably(temporary, path)


def linked_durably(source: Path, path: Path) -> None:
    """Give a file that is never changed a second name, or copy it on a disk without links."""
    with replaced_durably(path) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
    temporary.unlink(missing_ok=True)  # it stays where `path` is that file already: renaming it then does nothing


@contextmanager
def published_folder(path: Path) -> Iterator[Path]:
    """A new temporary folder that is renamed to `path` when the context ends, replacing an existing folder; if the
    context raises, it is removed. All that is in it is flushed to disk first."""
    temporary = temporary_path(path)
    old = temporary.with_suffix(".old")
    try:
        temporary.mkdir(mode=0o700 if is_in_workspace(path) else 0o777)
        yield temporary
        flush_folder(temporary)
        with sole_publisher(path.parent):
            put_back_folders(path.parent, path.name)
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
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


def put_back_folders(parent: Path, name: str | None = None) -> None:
    """Complete what a kill interrupted between the two renames of `published_folder`: the folder that was moved aside
    gets its name back. `name`: only of that folder."""
    pattern = "*" if name is None else glob.escape(name)
    with sole_publisher(parent):
        for old in sorted(parent.glob(f".{pattern}.*.old")):
            found = _OLD.fullmatch(old.name)
            if not found or name not in (None, found["name"]):
                continue
            if os.path.lexists(parent / found["name"]):
                shutil.rmtree(old, ignore_errors=True)
            else:
                rename_durably(old, parent / found["name"])


_published: ContextVar[frozenset[str]] = ContextVar("published", default=frozenset())


@contextmanager
def sole_publisher(folder: Path) -> Iterator[None]:
    """Wait until nobody else gives files in this folder their names, and keep others waiting: for files that belong
    together. The same thread may ask for it again. On a disk without locks, nobody waits."""
    place = os.path.realpath(folder)
    if place in _published.get():
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    token = _published.set(_published.get() | {place})
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        _published.reset(token)
        os.close(descriptor)


def temporary_path(path: Path) -> Path:
    """A new path for the unfinished version of `path`, which no other writer has. It names this process, so that
    `check` can tell whether its writer still runs."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}.tmp")


def create_file(temporary: Path, path: Path) -> int:
    """The descriptor of a new file at `temporary`, with the mode of the file at `path`, or of a new one there."""
    try:
        found = path.stat().st_mode
        kept = stat.S_IMODE(found) & 0o777 if stat.S_ISREG(found) else None
    except OSError:
        kept = None
    private = kept is not None or is_in_workspace(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600 if private else 0o666)
    if kept is not None:
        with contextlib.suppress(OSError):  # a disk without modes
            os.fchmod(descriptor, kept)
    return descriptor


def rename_durably(finished: Path, path: Path) -> None:
    """Rename a flushed file or a folder, within one disk; the rename survives a crash."""
    os.replace(finished, path)
    sync_folder(path.parent)


def flush_file(path: Path) -> None:
    """Flush a closed file's bytes to disk."""
    _flush(path)


def flush_folder(folder: Path) -> None:
    """Flush all files beneath a folder to disk, and then the folders: before it is renamed or marked as whole, so that
    after a crash of the machine the name or the mark is never there without them."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in (Path(place, name) for name in names):
            if path.is_file():
                _flush(path)
        _flush(Path(place))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a crash."""
    _flush(folder)


@contextmanager
def _unfinished(path: Path) -> Iterator[tuple[Path, int]]:
    """The new temporary file of `path`, and its descriptor; if the context raises, the file is removed."""
    temporary = temporary_path(path)
    descriptor = create_file(temporary, path)
    try:
        yield temporary, descriptor
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(descriptor: int, parts: Iterable[bytes], flush: bool) -> None:
    with os.fdopen(descriptor, "wb") as file:
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
