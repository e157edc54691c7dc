"""A file's SHA-256, which identifies sources, exports, backups and trained references."""

import hashlib
from pathlib import Path


def difference(path: Path, sha256: str) -> str | None:
    """A sentence if a file is gone, or is not the one of this SHA-256; None if it is. Raises `OSError`."""
    if not path.is_file():
        return f"{path} is gone."
    if file_sha256(path) != sha256:
        return f"{path} has changed since it was written (its SHA-256 differs)."
    return None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in bounded memory [hex]. Raises `OSError`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
