"""Leases: several processes of one job divide its chunks, and a dead one's chunk is free for another at once.

A lease is an flock on a file of the job's folder. The system lets it go when its holder ends, however it ends, so
there is no time limit to wait for and none to renew.
"""

import fcntl
from pathlib import Path
from typing import TextIO


class Lease:
    """A chunk that this process works on and no other does; given back by `release` or by the process's end."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


def take_lease(folder: Path, name: str) -> Lease | None:
    """The lease of that name, or None while another process holds it."""
    folder.mkdir(exist_ok=True)
    file = open(folder / f"{name}.lease", "a", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return Lease(file)
