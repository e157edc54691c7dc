"""What the system tells of processes: from /proc on Linux; elsewhere (macOS) from what stands in for it, or nothing."""

import os
import subprocess
import time
from pathlib import Path

PROC = Path("/proc")
_DATA_FIELD = 5
"""Place of data and stack in /proc/self/statm [pages]: what RLIMIT_DATA counts. Files that are mapped are no part of
it, and neither is address space that a GPU's driver only reserves."""
_START_FIELD = 19
"""Place of a process's start after its name in /proc/self/stat [ticks of the clock since the machine's start]."""
_IMPORTED_AT = time.monotonic()


def data_pages() -> int | None:
    """Pages of data and stack that this process has; None where the system does not tell."""
    try:
        return int((PROC / "self" / "statm").read_text(encoding="ascii").split()[_DATA_FIELD])
    except FileNotFoundError:
        return None


def process_age() -> float:
    """Seconds since this process was started; without /proc since this module was imported, some tenths of a
    second later."""
    try:
        fields = (PROC / "self" / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return time.monotonic() - _IMPORTED_AT
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK")


def works_on(process: int, name: str) -> bool:
    """Whether a process lives that has `name` in its command line. Its id alone would not do: the system gives ids
    out again.

    A process that is just becoming another program has no command line for a moment, as one that ended has none
    until it is waited for (a zombie): the first counts as the one that is meant, the second does not.
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
    """`works_on` by `ps`, which writes the name of the program in brackets where it sees no command line."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, PermissionError):
        return False  # gone, or somebody else's: no program need be started to tell
    listing = ["ps", "-ww", "-p", str(process), "-o", "stat=", "-o", "args="]
    found = subprocess.run(listing, capture_output=True, text=True, errors="replace", check=False).stdout
    state, _, command = found.strip().partition(" ")
    unseen = command.lstrip().startswith(("(", "["))
    return bool(state) and not state.startswith("Z") and (name in command or unseen)
