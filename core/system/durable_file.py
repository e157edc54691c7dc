"""A file written in parts that, after a crash at any moment, is there whole or not there at all."""

import errno
import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

from .atomic_files import rename_durably, temporary_path
from .permission import require_change


class DurableFile:
    """Bytes on their way to `path` under a temporary name, for what is not in memory as a whole.

    `finish` flushes them to disk, `replace` gives them their name. Left as a context without `replace`, nothing of
    it stays. `sha256` and `byte_count` are of the bytes on disk. It is the sink that gzip and Parquet write to.
    """

    def __init__(self, path: Path) -> None:
        require_change()
        self.path = path
        self.byte_count = 0
        self._digest = hashlib.sha256()
        self._temporary = temporary_path(path)
        if path.exists() and not path.is_file():
            # Giving the new file that name would take it from a device, which nothing brings back.
            raise OSError(errno.EINVAL, "what has that name is no file")
        self._file = open(self._temporary, "wb")

    def __enter__(self) -> "DurableFile":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()  # which may have bytes left to write, and no room for them
        finally:
            self._temporary.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """Hex digest of what was written so far."""
        return self._digest.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self._file.closed

    def write(self, part: Any) -> int:
        """Append bytes; returns how many."""
        size = self._file.write(part)
        self._digest.update(part)
        self.byte_count += size
        return size

    def tell(self) -> int:
        """Position of the next byte."""
        return self.byte_count

    def flush(self) -> None:
        """Hand what is buffered to the system."""
        self._file.flush()

    def compressed(self) -> gzip.GzipFile:
        """A gzip stream into this file; without a time stamp or name, so that equal data gives equal bytes."""
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=self, mtime=0)

    def finish(self) -> None:
        """Flush everything to disk and close; the old file of that name is still untouched."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def replace(self) -> None:
        """Give the finished file its name, in place of whatever had it."""
        rename_durably(self._temporary, self.path)
