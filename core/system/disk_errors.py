"""Translates disk errors into one sentence: full, over quota, read-only, file too large, or failing."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..data.errors import WriteFailed

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}


@contextmanager
def translate_disk_errors(what: str) -> Iterator[None]:
    """Convert disk errors into a `WriteFailed` that begins with `what`; also a decorator. Other errors pass through."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        place = f" at {error.filename}" if error.filename else ""
        raise WriteFailed(
            f"{what} could not be written ({error.strerror}{place}). Finished work is kept; free space on that "
            "disk, then try again."
        ) from error
