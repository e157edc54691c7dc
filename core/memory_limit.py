"""A limit on what this process may allocate for a while, kept by the system: what comes with a model may ask for all
of a machine's memory by one line."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DATA_FIELD = 5
"""Place of data and stack in /proc/self/statm [pages]: what RLIMIT_DATA counts. Files that are mapped are no part of
it, and neither is address space that a GPU's driver only reserves."""


@contextmanager
def memory_limit(extra_bytes: int) -> Iterator[None]:
    """Within this context, an allocation beyond `extra_bytes` more than now fails: `MemoryError` in Python,
    `RuntimeError` in torch. The limit is the process's, so other threads' large allocations fail too."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[_DATA_FIELD])
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = pages * resource.getpagesize() + extra_bytes
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
