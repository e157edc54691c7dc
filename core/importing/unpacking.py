"""Opens a data file as a byte stream, unpacking gzip or Zstandard, with a size limit."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from ..data import settings
from ..data.errors import SourceUnreadable
from ..system.paths import open_file

_BUFFER_BYTES = 2**20
_ZSTD_INPUT_BYTES = 2**10
# 1 kB of Zstandard unpacks to 40 MB at worst, so this limits the memory that a hostile file can take.


def compression_of(path: Path) -> str:
    """Compression of a file, from its first bytes: "gzip", "zstd", or "" for none.

    Raises `SourceUnreadable` if the path is not a readable file.
    """
    check_readable(path)
    with open_file(path) as file:
        magic = file.read(4)
    if magic.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if magic == b"\x28\xb5\x2f\xfd" else ""


def check_readable(path: Path) -> None:
    """Raise `SourceUnreadable` unless the path is a file that can be opened."""
    if path.is_dir():
        raise SourceUnreadable(f"{path} is a folder. Give a data file in it.")
    if not path.exists():
        raise SourceUnreadable(f"There is no file {path}. Check the path.")
    if not path.is_file():
        raise SourceUnreadable(f"{path} is not a regular file. Save the data to a file and import it.")
    try:
        open_file(path).close()
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be opened ({error.strerror}). Check its permissions.") from error


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """Context manager: the file's unpacked bytes as a buffered stream.

    Raises `SourceUnreadable`, also while reading, if the file cannot be opened, is damaged or cut off, or
    unpacks to more than the setting max_unpacked_bytes.
    """
    packing = compression_of(path)
    with open_file(path) as file:
        unpacked: Any = file
        if packing == "gzip":
            unpacked = gzip.GzipFile(fileobj=file)
        elif packing == "zstd":
            unpacked = io.BufferedReader(_ZstdStream(file), _BUFFER_BYTES)
        bounded = _BoundedStream(unpacked, path.name, settings.integer("max_unpacked_bytes") if packing else None)
        yield cast(BinaryIO, io.BufferedReader(bounded, _BUFFER_BYTES))


class _BoundedStream(io.RawIOBase):
    """Passes bytes through up to a limit; turns every read error into `SourceUnreadable`."""

    def __init__(self, source: Any, name: str, limit: int | None) -> None:
        self._source = source
        self._name = name
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._source.read(len(buffer))
        except (EOFError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile) as error:
            raise SourceUnreadable(
                f"{self._name} is damaged or truncated: it cannot be unpacked to its end ({error}). Fetch it again."
            ) from error
        except OSError as error:
            raise SourceUnreadable(
                f"{self._name} cannot be read ({error.strerror or error}). Fetch it again."
            ) from error
        if self._left is not None:
            self._left -= len(content)
            if self._left < 0:
                raise SourceUnreadable(
                    f"{self._name} unpacks to more than {settings.integer('max_unpacked_bytes'):,} bytes. "
                    "If you trust it, raise LOBASS_MAX_UNPACKED_BYTES."
                )
        buffer[: len(content)] = content
        return len(content)


class _ZstdStream(io.RawIOBase):
    """Unpacks Zstandard frames. zstandard's own stream reader accepts a truncated file as complete."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._frame: Any = None
        self._packed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            self._packed = self._packed or self._file.read(_ZSTD_INPUT_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("the last frame is not complete")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._ready = memoryview(self._frame.decompress(self._packed))
            self._packed = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count
