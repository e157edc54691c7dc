"""A file written in parts that is complete or absent after a crash at any moment."""

import errno
import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

from .atomic_files import create_file, rename_durably, temporary_path
from .permission import require_change


class DurableFile:
    """An atomic file for content that does not fit in memory, written under a temporary name.

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
            # Renaming the new file would replace a device, which cannot be restored.
            raise OSError(errno.EINVAL, "the existing path is not a regular file")
        self._file = os.fdopen(create_file(self._temporary, path), "wb")

    def __enter__(self) -> "DurableFile":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()  # flushes buffered bytes, for which there may be no room
        finally:
            self._temporary.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes written so far."""
        return self._digest.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether the file is closed for writing."""
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
        """Pass buffered bytes to the operating system."""
        self._file.flush()

    def compressed(self) -> gzip.GzipFile:
        """A gzip stream into this file, without timestamp or name, so that equal data gives equal bytes."""
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=self, mtime=0)

    def finish(self) -> None:
        """Flush everything to disk and close; the old file at `path` is still unchanged."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def replace(self) -> None:
        """Rename the finished file to `path`, replacing the old one."""
        rename_durably(self._temporary, self.path)
