"""Facts about processes: from /proc on Linux; elsewhere (macOS) from substitutes, if there are any."""

import os
import re
import resource
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_DATA_FIELD = 5
"""Index of data and stack in /proc/self/statm [pages], which RLIMIT_DATA limits. Mapped files and address space that a
GPU driver only reserves are not included."""
_START_FIELD = 19
"""Index of a process's start time after its name in /proc/self/stat [clock ticks since boot]."""
_IMPORTED_AT = time.monotonic()
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of version 2 and 1 of control groups, as a container sees its own."""


def data_pages() -> int | None:
    """Pages of data and stack of this process; None if the system does not report them."""
    try:
        return int((PROC / "self" / "statm").read_text(encoding="ascii").split()[_DATA_FIELD])
    except FileNotFoundError:
        return None


def peak_resident_bytes() -> int:
    """The most memory that this process had resident so far [bytes]."""
    try:
        status = (PROC / "self" / "status").read_text(encoding="ascii")
    except FileNotFoundError:
        status = ""
    # Before `ru_maxrss`, which is handed down from the process that started this one.
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine_memory() -> int:
    """Memory of this machine, or of the container that it is [bytes]."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # not in a container, or without a limit ("max")
            found.append(int(path.read_text(encoding="ascii")))
    return min(found)


def free_memory() -> int:
    """Memory that processes can still have without others losing theirs, the system's cache included [bytes]; all of
    the machine's where the system does not say."""
    whole = machine_memory()
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", (PROC / "meminfo").read_text(encoding="ascii"))
    except FileNotFoundError:
        return whole
    return min(whole, int(found[1]) * 1024) if found else whole


def process_age() -> float:
    """Seconds since this process was started; without /proc since this module was imported, some tenths of a
    second later."""
    try:
        fields = (PROC / "self" / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return time.monotonic() - _IMPORTED_AT
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK")


def works_on(process: int, name: str) -> bool:
    """Whether the process is alive and has `name` in its command line. The id alone is not enough: ids are reused.

    A process has no command line for a moment during exec, and none after its end until it is waited for (a zombie):
    the first counts as alive, the second does not.
    """
    if data_pages() is None:
        return _listed(process, name)
    folder = PROC / str(process)
    try:
        command = (folder / "cmdline").read_bytes()
        if command:
            return name.encode() in command
        return "State:\tZ" not in (folder / "status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _listed(process: int, name: str) -> bool:
    """`works_on` with `ps`, which shows the program's name in brackets if there is no command line."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, PermissionError):
        return False  # gone, or another user's: `ps` is not needed
    listing = ["ps", "-ww", "-p", str(process), "-o", "stat=", "-o", "args="]
    found = subprocess.run(listing, capture_output=True, text=True, errors="replace", check=False).stdout
    state, _, command = found.strip().partition(" ")
    unseen = command.lstrip().startswith(("(", "["))
    return bool(state) and not state.startswith("Z") and (name in command or unseen)


def is_stopped(process: int) -> bool:
    """Whether a process was stopped, as by SIGSTOP, and does not run; False where there is no /proc."""
    try:
        status = (PROC / str(process) / "status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "\nState:\tT" in status
