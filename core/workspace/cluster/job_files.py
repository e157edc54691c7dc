"""Carries files of a job's folder between machines that share no disk, in pieces that fit into memory.

A file that arrives has its name only once it is whole and flushed. Files are sent in the order in which they were last
written, so that a file which marks others as whole arrives after them.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...data.errors import JobFailed
from ...system.atomic_files import flush_file, rename_durably

_PIECE_BYTES = 32 * 2**20
_LEFT_BEHIND = {"worker.lock", "worker.log", "starting.json", "waiting.json", "cancel", "outcome.json", "notices.txt"}
_LEFT_FOLDERS = {"encoded", "leases", "processes"}
"""And all folders that end with .tmp: they are renamed when they are whole."""
_Stamps = dict[str, tuple[int, int, int]]
"""Size, time of change [ns] and inode of files, by their path in the folder."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file from `start` on; `ends`: they are its last. Without `data`, the file was removed."""

    name: str
    data: bytes | None
    start: int = 0
    ends: bool = True


class FolderChanges:
    """What changed in a folder since it was last asked; at first everything has, or nothing with `from_now`."""

    def __init__(self, folder: Path, from_now: bool = False) -> None:
        self._folder = folder
        self._sent: _Stamps = _stamps(folder) if from_now else {}

    def take(self) -> Iterator[Piece]:
        """Pieces of the files that were written, in the order of their last change, then those that were removed."""
        found = _stamps(self._folder)
        for name in sorted(found, key=lambda name: found[name][1]):
            if self._sent.get(name) != found[name]:
                yield from _pieces(self._folder / name, name)
        for name in self._sent.keys() - found.keys():
            yield Piece(name, None)
        self._sent = found


def put_piece(folder: Path, piece: Piece) -> None:
    """Write a piece that arrived in its order. Raises `JobFailed` if its name leads out of the folder."""
    parts = PurePosixPath(piece.name)
    if parts.is_absolute() or ".." in parts.parts:
        raise JobFailed(f"The cluster sent a file named {piece.name[:200]!r}, which lies outside the job's folder.")
    path = folder / piece.name
    if piece.data is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    arriving = path.with_name(f".{path.name}.arriving")
    with open(arriving, "ab" if piece.start else "wb") as file:
        file.write(piece.data)
    if piece.ends:
        flush_file(arriving)
        rename_durably(arriving, path)


def piece_of(path: Path, name: str, start: int) -> Piece:
    """What a file has from `start` on, as far as it fits into a piece."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(start)
        data = file.read(_PIECE_BYTES)
    return Piece(name, data, start, ends=not data or start + len(data) >= size)


def _pieces(path: Path, name: str) -> Iterator[Piece]:
    """Nothing more of a file that is removed meanwhile: the next round finds that."""
    start, ends = 0, False
    while not ends:
        try:
            piece = piece_of(path, name, start)
        except FileNotFoundError:
            return
        yield piece
        start, ends = start + len(piece.data or b""), piece.ends


def _stamps(folder: Path) -> _Stamps:
    found: _Stamps = {}
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        left = _LEFT_FOLDERS if inside == Path() else set()
        folders[:] = [name for name in folders if name not in left and not name.endswith(".tmp")]
        for name in names:
            path = inside / name
            if name.startswith(".") or path.as_posix() in _LEFT_BEHIND:
                continue
            try:
                status = os.stat(folder / path)
            except OSError:  # removed meanwhile
                continue
            found[path.as_posix()] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found
