"""Chunked cross-entropy: losses over a large vocabulary, one tile at a time, never [positions x vocabulary].

    loss = ln sum_v exp(logit_v) - logit_target
         = reference + ln sum over tiles of sum_v exp(logit_v - reference) - logit_target

The reference of a position is the largest logit of its first tile. If a later logit is so much larger that the sum
overflows, that position is computed again with a running maximum.

On a GPU the exponentials of a large vocabulary would take longer than the products, so a tile's logits are read only
once. No value is copied to the CPU, which would synchronise with the GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .engine_choice import TILE_TOKENS

_TILE_POSITIONS = 1024
_GPU_TILE_POSITIONS = 8192
_GPU_TILE_TOKENS = 8192
"""On a GPU: 268 MB, large enough to keep it busy, with rows short enough for its softmax to read once."""


@dataclass(frozen=True, slots=True)
class Head:
    """A language-model head that is a single matrix: logits = cap * tanh(scale * (states @ weight.T + bias) / cap).

    weight [vocabulary x width], bias [vocabulary] or None; a cap of None is no cap. wide: products of half precision
    are returned in float32, not rounded; see `has_wide_products`. tile_tokens: tokens of the vocabulary in a tile on a
    CPU.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    cap: float | None
    wide: bool = False
    tile_tokens: int = TILE_TOKENS

    def losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each target [nats], float32, given the states [positions x width] that predict them."""
        if not len(targets):
            return torch.zeros(0, device=states.device)
        losses = self._losses_no_sync if _on_gpu(states) else self._losses
        return torch.cat([losses(states[part], targets[part]) for part in self.chunks(states)])

    def chunks(self, states: torch.Tensor) -> Iterator[slice]:
        """Parts of the positions, each of the size of a tile."""
        size = _GPU_TILE_POSITIONS if _on_gpu(states) else _TILE_POSITIONS
        return (slice(start, start + size) for start in range(0, len(states), size))

    def _losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        reference = torch.zeros(0)
        total = torch.zeros_like(targets, dtype=torch.float64)
        picked = _Picked(targets, self._tile_tokens(states), len(self.weight))
        for start, logits in self.tiles(states):
            if start == 0:
                reference = logits.amax(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).min)
            picked.look(start, logits)
            total += logits.sub_(reference).exp_().sum(1)
        losses = total.log().float() + reference[:, 0] - picked.logits
        again = ~torch.isfinite(losses)
        if again.any():
            losses[again] = self._losses_by_running_maximum(states[again], targets[again])
        return losses

    def _losses_by_running_maximum(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        total = torch.full(targets.shape, -torch.inf, device=states.device)
        picked = _Picked(targets, self._tile_tokens(states), len(self.weight))
        for start, logits in self.tiles(states):
            picked.look(start, logits)
            total = torch.logaddexp(total, logits.logsumexp(1))
        return total - picked.logits

    def _losses_no_sync(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Losses without synchronising with the GPU."""
        total = torch.full(targets.shape, -torch.inf, dtype=torch.float64, device=states.device)
        picked = torch.zeros(targets.shape, device=states.device)
        for start, logits in self.tiles(states):
            places = (targets - start).clamp(0, logits.shape[1] - 1)
            picked = torch.where(places + start == targets, logits.gather(1, places[:, None])[:, 0], picked)
            total = torch.logaddexp(total, self._log_sums(logits).double())
        return (total - picked).float()

    def _log_sums(self, logits: torch.Tensor) -> torch.Tensor:
        """ln sum exp of each row."""
        if self.bias is not None:  # the bias may be -inf for the first token, which then cannot serve as a reference
            return logits.logsumexp(1)
        # On a GPU, log-softmax is one kernel that reads and writes each logit once; logsumexp is four, with two passes.
        return logits[:, 0] - logits.log_softmax(1)[:, 0]

    def tiles(self, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """First token and logits [positions x tile] of each tile; float32, the caller may overwrite them."""
        size = self._tile_tokens(states)
        for start in range(0, len(self.weight), size):
            logits = self._products(states, slice(start, start + size))
            if self.scale != 1:
                logits *= self.scale
            if self.cap:
                logits.div_(self.cap).tanh_().mul_(self.cap)
            yield start, logits.float()

    def _products(self, states: torch.Tensor, tile: slice) -> torch.Tensor:
        weight, bias = self.weight[tile], None if self.bias is None else self.bias[tile]
        if not self.wide:
            return F.linear(states, weight, bias)
        products = torch.mm(states, weight.t(), out_dtype=torch.float32)
        return products if bias is None else products.add_(bias)

    def _tile_tokens(self, states: torch.Tensor) -> int:
        return _GPU_TILE_TOKENS if _on_gpu(states) else self.tile_tokens


def _on_gpu(states: torch.Tensor) -> bool:
    return states.is_cuda


class _Picked:
    """Picks the logit of each target from its tile; positions are sorted by target."""

    def __init__(self, targets: torch.Tensor, tile_tokens: int, vocabulary: int) -> None:
        self._targets, self._order = targets.sort()
        starts = torch.arange(0, vocabulary + tile_tokens, tile_tokens, device=targets.device)
        self._ends = torch.searchsorted(self._targets, starts).tolist()
        self._tile_tokens = tile_tokens
        self.logits = torch.zeros(targets.shape, device=targets.device)

    def look(self, start: int, logits: torch.Tensor) -> None:
        """Process the logits [positions x tile] of the tile that begins with token `start`."""
        tile = start // self._tile_tokens
        inside = slice(self._ends[tile], self._ends[tile + 1])
        if inside.start < inside.stop:
            positions = self._order[inside]
            self.logits[positions] = logits[positions, self._targets[inside] - start]
