"""A pack as tensors, ready to be copied to the model's device."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .packed_attention import PackedPlaces
from .packing import Pack


@dataclass(frozen=True, slots=True)
class PackTensors:
    """A pack as tensors: see `core.engine.packing.Pack`."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    places: PackedPlaces
    state_index: torch.Tensor
    row_index: torch.Tensor
    targets: torch.Tensor

    @classmethod
    def of(cls, pack: Pack, varlen: bool, blocks: bool) -> "PackTensors":
        """Tensors of a pack, in main memory."""
        arrays = (pack.input_ids, pack.position_ids, pack.state_index, pack.row_index, pack.targets)
        ids, positions, states, rows, targets = (torch.from_numpy(array) for array in arrays)
        return cls(ids[None], positions[None], PackedPlaces.of(pack, varlen, blocks), states, rows, targets)

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> "PackTensors":
        """Apply `move` to each tensor."""
        return PackTensors(
            move(self.input_ids),
            move(self.position_ids),
            self.places.moved(move),
            move(self.state_index),
            move(self.row_index),
            move(self.targets),
        )
