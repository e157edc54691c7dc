"""The peak of a process's resident memory, as the kernel counts it from the start of its program.

`ru_maxrss` would not do: it is handed down from the process that started this one.
"""

import re
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_gigabytes(status: Path = STATUS) -> float:
    """Peak resident memory of this process, or of that of another status file, so far [GB of 2^30 bytes]; Linux."""
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
    if found is None:
        raise RuntimeError(f"{status} names no peak of resident memory.")
    return int(found[1]) / 2**20
