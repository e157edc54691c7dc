"""The checkpoints that a LoRA reference keeps on request, one at the end of each epoch, for gradient similarity (LESS)
and loss trajectories (S2L).

    kept_checkpoints/epoch-N.safetensors     in the reference's folder; float32, NAME as the trained model names it
        weight/NAME                          the adapter's weights after the epoch
        exp_avg/NAME, exp_avg_sq/NAME        Adam's two moments then
    Metadata: step, passes, and learning_rate, the mean over the epoch's steps.

They take 12 bytes a trained weight and epoch. The provenance lists them, so that planning reads no weights. They are no
part of the reference's fingerprint, which is of the files that make its losses.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..data.errors import JsonInvalid, ModelUnusable
from ..data.json_types import checked
from ..models.folder_check import read_json
from ..models.provenance import FILES, PROVENANCE, damages
from ..models.weight_files import tensor_shapes

KEPT = "kept_checkpoints"
"""The folder, and the provenance's list."""
WEIGHT, FIRST_MOMENT, SECOND_MOMENT = "weight/", "exp_avg/", "exp_avg_sq/"
OPTION = "train --keep-checkpoints"


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """One kept checkpoint: its file's path in the reference's folder, the step and the number of passes that it ends,
    and the mean learning rate of that epoch's steps."""

    file: str
    step: int
    passes: float
    learning_rate: float

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return asdict(self)


def kept_checkpoints(label: str, folder: Path) -> tuple[tuple[KeptCheckpoint, ...], dict[str, str]]:
    """The checkpoints that the reference in a folder kept, in order, and the SHA-256 of each file. Raises
    `ModelUnusable` if it kept none, or a file is not as it was written."""
    provenance = read_json(folder / PROVENANCE)
    listed = provenance.get(KEPT)
    if not isinstance(listed, list) or not listed:
        raise ModelUnusable(
            f"The reference {label!r} kept no checkpoints. Train one with {OPTION}, and name it with --reference."
        )
    try:
        found = tuple(checked(fields, KeptCheckpoint, f"{folder / PROVENANCE}, {KEPT}") for fields in listed)
        digests = {one.file: str(provenance[FILES][one.file]) for one in found}
    except (JsonInvalid, KeyError, TypeError) as error:
        raise ModelUnusable(f"The reference {label!r} is damaged: {folder / PROVENANCE} cannot be read.") from error
    for sentence in damages(folder, provenance, digests):
        raise ModelUnusable(f"A checkpoint of the reference {label!r} is damaged. {sentence} Train it again.")
    return found, digests


def weight_count(path: Path) -> int:
    """How many trained weights a checkpoint has; only its table of tensors is read."""
    return sum(math.prod(shape) for name, shape in tensor_shapes(path).items() if name.startswith(WEIGHT))
