"""The peak of a process's resident memory, as the kernel counts it from the start of its program.

`ru_maxrss` would not do: it is handed down from the process that started this one.
"""

import re
from pathlib import Path

STATUS = "/proc/self/status"


def peak_gigabytes() -> float:
    """Peak resident memory of this process so far [GB of 2^30 bytes]; Linux."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(STATUS).read_text(encoding="ascii"))
    if found is None:
        raise RuntimeError(f"{STATUS} names no peak of resident memory.")
    return int(found[1]) / 2**20
