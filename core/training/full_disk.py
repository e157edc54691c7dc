"""A disk that takes no more of what a training writes: one sentence, and room for its outcome."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ..data.errors import WriteFailed
from ..system.disk_errors import translate_disk_errors
from .checkpoints import CHECKPOINTS
from .recorded_models import WORK

_SIGNS = ("PytorchStreamWriter", "unexpected pos", "iostream error", "while serializing")
"""What torch and safetensors say of a write that was refused, as they have errors of their own for it."""
_ROOM = (CHECKPOINTS, WORK, "members", "model.tmp", "model", "best-pass.pt")


@contextmanager
def room_when_disk_is_full(folder: Path) -> Iterator[None]:
    """Turn every form in which a full disk shows into a `WriteFailed`, and remove what the training in `folder` has
    written: a failed training begins anew, and the outcome needs room."""
    try:
        with translate_disk_errors("The training"):
            yield
    except (WriteFailed, SafetensorError, RuntimeError) as error:
        if not isinstance(error, WriteFailed) and not any(sign in str(error) for sign in _SIGNS):
            raise
        for name in _ROOM:
            path = folder / name
            path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)
        raise WriteFailed(
            "The training could not write its checkpoint or its model: the disk may be full. No reference was made, "
            f"and its checkpoints were removed. Free space on the disk of {folder}, then train again."
        ) from error
