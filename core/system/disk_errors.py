"""What a disk refuses, said as one sentence: full, over quota, read-only, too large a file, or failing."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..data.errors import WriteFailed

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}


@contextmanager
def translate_disk_errors(what: str) -> Iterator[None]:
    """Turn a disk's refusal into a `WriteFailed` that begins with `what`; also a decorator. Other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        place = f" at {error.filename}" if error.filename else ""
        raise WriteFailed(
            f"{what} could not be written ({error.strerror}{place}). What was finished is kept; free space on that "
            "disk, then do it again."
        ) from error
