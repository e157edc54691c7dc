"""A limit on what this process may allocate for a while, kept by the system: what comes with a model may ask for all
of a machine's memory by one line."""

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from .process_facts import data_pages

log = logging.getLogger(__name__)


@contextmanager
def memory_limit(extra_bytes: int) -> Iterator[None]:
    """Within this context, an allocation beyond `extra_bytes` more than now fails: `MemoryError` in Python,
    `RuntimeError` in torch. The limit is the process's, so other threads' large allocations fail too.

    A system that does not tell what a process has, macOS among them, keeps no such limit: that is logged once.
    """
    pages = data_pages()
    if pages is None:
        _say_that_there_is_none()
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = pages * resource.getpagesize() + extra_bytes
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@cache
def _say_that_there_is_none() -> None:
    log.warning(
        "This system keeps no limit on a process's memory (it has no /proc), so chat templates and models are read "
        "without one; limits of time hold. Use models from people you trust."
    )
