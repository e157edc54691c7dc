"""The processes that train one model together: each computes a share of every batch, and their gradients are added up.

Data-parallel training with torch.distributed's collective operations. `DistributedDataParallel` synchronises in the
model's own `forward`, which packed rows do not call; so the Trainer of each process runs as if it were alone, on the
same batches, and the shares are added up between backward and the optimizer's step.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import distributed
from transformers import TrainerCallback

_Item = TypeVar("_Item")
_BUCKET = 2**24


class Ranks:
    """Process `number` of `count`; alone, nothing is exchanged. Every process must call the methods in the same
    order."""

    def __init__(self, number: int = 0, count: int = 1) -> None:
        self.number, self.count = number, count

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes checkpoints, records, progress and the model."""
        return self.number == 0

    def share(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """This process's share of a batch's items; every n-th, because they are in order of length. It may be empty."""
        return items[self.number :: self.count]

    def add_up(self, tensor: torch.Tensor) -> None:
        """Replace a tensor by its sum over all processes."""
        if self.count > 1:
            distributed.all_reduce(tensor)

    def add_gradients(self, weights: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes. Where no process has one there is none, as alone: the
        optimizer leaves such weights and their moments as they are."""
        if self.count == 1:
            return
        trained = [weight for weight in weights if weight.requires_grad]
        here = [weight.grad is not None for weight in trained]
        anywhere = torch.tensor(here, dtype=torch.int32, device=trained[0].device)
        distributed.all_reduce(anywhere)
        for bucket in _buckets([weight for weight, found in zip(trained, anywhere.tolist(), strict=True) if found]):
            flat = torch.cat([_gradient(weight).flatten() for weight in bucket])
            distributed.all_reduce(flat)
            for weight, part in zip(bucket, torch.split(flat, [weight.numel() for weight in bucket]), strict=True):
                weight.grad = part.view_as(weight)

    def copy_from_first(self, tensor: torch.Tensor) -> None:
        """Replace a tensor by that of the first process."""
        if self.count > 1:
            distributed.broadcast(tensor, 0)


def _gradient(weight: torch.nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def _buckets(weights: list[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """The weights in order, as many at once as have `_BUCKET` values together: what is exchanged is copied."""
    bucket: list[torch.nn.Parameter] = []
    for weight in weights:
        if bucket and sum(one.numel() for one in bucket) + weight.numel() > _BUCKET:
            yield bucket
            bucket = []
        bucket.append(weight)
    if bucket:
        yield bucket


class KeepTogether(TrainerCallback):  # type: ignore[misc]
    """All processes begin with the first one's weights and stop when it stops; to be added after all that stop it."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        for weight in model.parameters():
            if weight.requires_grad:
                self._ranks.copy_from_first(weight.data)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        stops = torch.tensor(int(control.should_training_stop), device=args.device)
        self._ranks.copy_from_first(stops)
        control.should_training_stop = bool(stops)
