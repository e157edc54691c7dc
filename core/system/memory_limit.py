"""A temporary memory limit for this process, enforced by the operating system: files of a model can request all of a
machine's memory."""

import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from .process_facts import data_pages

log = logging.getLogger(__name__)


@contextmanager
def memory_limit(extra_bytes: int) -> Iterator[None]:
    """Within this context, allocating more than `extra_bytes` fails: `MemoryError` in Python, `RuntimeError` in torch.
    The limit applies to the whole process, so large allocations of other threads fail too.

    Systems that do not report a process's memory, such as macOS, have no such limit; this is logged once.
    """
    pages = data_pages()
    if pages is None:
        warn_if_unlimited()
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
def warn_if_unlimited() -> None:
    """Log, once, if this system has no such limit."""
    if data_pages() is None:
        log.warning(
            "This system cannot limit a process's memory (it has no /proc), so chat templates and models are read "
            "without a memory limit; time limits still apply. Only use models from sources you trust."
        )
