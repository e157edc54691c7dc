"""Leases: several processes share a job's chunks, and a dead process's chunk is free for another at once.

A lease is an flock on a file in the job's folder. The operating system releases it when its holder ends for any reason,
so leases need no timeout and no renewal.
"""

import fcntl
from pathlib import Path
from typing import TextIO


class Lease:
    """Exclusive claim of this process on a chunk, until `release` or the end of the process."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def release(self) -> None:
        """Release the lease."""
        self._file.close()


def take_lease(folder: Path, name: str) -> Lease | None:
    """The lease with this name, or None while another process holds it."""
    folder.mkdir(exist_ok=True)
    file = open(folder / f"{name}.lease", "a", encoding="ascii")  # noqa: SIM115 (held by the lease)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return Lease(file)
