"""The losses of many positions over a large vocabulary, a tile of it at a time: never [positions x vocabulary].

    loss = ln sum_v exp(logit_v) - logit_target
         = reference + ln sum over tiles of sum_v exp(logit_v - reference) - logit_target

The reference of a position is the largest logit of its first tile. Where a later logit is so much larger that the sum
overflows, that position is computed again with a running maximum.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

_TILE_POSITIONS = 1024
_TILE_TOKENS = 2048
"""A tile of logits, at most 8 MB, and the weights that make it lie in the cache."""
_TILE_TOKENS_CUDA = 16384


@dataclass(frozen=True, slots=True)
class Head:
    """A language-model head that is one matrix: logits = cap * tanh(scale * (states @ weight.T + bias) / cap).

    weight [vocabulary x width], bias [vocabulary] or None; a cap of None is no cap.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    cap: float | None

    def losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each target [nats], float32, given the states [positions x width] that predict them."""
        if not len(targets):
            return torch.zeros(0, device=states.device)
        positions = len(targets) if states.is_cuda else _TILE_POSITIONS
        parts = [
            self._losses(states[start : start + positions], targets[start : start + positions])
            for start in range(0, len(targets), positions)
        ]
        return torch.cat(parts)

    def _losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        reference = torch.zeros(0)
        total = torch.zeros_like(targets, dtype=torch.float64)
        picked = _Picked(targets, self._tile_tokens(states), len(self.weight))
        for start, logits in self._tiles(states):
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
        for start, logits in self._tiles(states):
            picked.look(start, logits)
            total = torch.logaddexp(total, logits.logsumexp(1))
        return total - picked.logits

    def _tiles(self, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """First token and logits [positions x tile], float32 and the caller's to overwrite, of each tile."""
        size = self._tile_tokens(states)
        for start in range(0, len(self.weight), size):
            bias = None if self.bias is None else self.bias[start : start + size]
            logits = F.linear(states, self.weight[start : start + size], bias)
            if self.scale != 1:
                logits *= self.scale
            if self.cap:
                logits.div_(self.cap).tanh_().mul_(self.cap)
            yield start, logits.float()

    @staticmethod
    def _tile_tokens(states: torch.Tensor) -> int:
        return _TILE_TOKENS_CUDA if states.is_cuda else _TILE_TOKENS


class _Picked:
    """The logit of each target, taken from the tile that it lies in; positions are put in order of their targets."""

    def __init__(self, targets: torch.Tensor, tile_tokens: int, vocabulary: int) -> None:
        self._targets, self._order = targets.sort()
        starts = torch.arange(0, vocabulary + tile_tokens, tile_tokens, device=targets.device)
        self._ends = torch.searchsorted(self._targets, starts).tolist()
        self._tile_tokens = tile_tokens
        self.logits = torch.zeros(targets.shape, device=targets.device)

    def look(self, start: int, logits: torch.Tensor) -> None:
        """The logits [positions x tile] of the tile that begins with the token `start`."""
        tile = start // self._tile_tokens
        inside = slice(self._ends[tile], self._ends[tile + 1])
        if inside.start < inside.stop:
            positions = self._order[inside]
            self.logits[positions] = logits[positions, self._targets[inside] - start]
