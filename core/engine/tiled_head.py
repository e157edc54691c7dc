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

_TILE_POSITIONS = 512
_TILE_TOKENS = 2048
"""A tile of logits and the weights that make it lie in the cache: 4 MB and, at a width of 640, 5 MB."""
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
        reference = total = picked = torch.zeros(0)
        for start, logits in self._tiles(states):
            if start == 0:
                reference = logits.amax(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).min)
                total, picked = torch.zeros_like(targets, dtype=torch.float64), torch.zeros_like(reference[:, 0])
            picked = _picked(logits, targets - start, picked)
            total += logits.sub_(reference).exp_().sum(1)
        losses = total.log().float() + reference[:, 0] - picked
        again = ~torch.isfinite(losses)
        if again.any():
            losses[again] = self._losses_by_running_maximum(states[again], targets[again])
        return losses

    def _losses_by_running_maximum(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        total = torch.full(targets.shape, -torch.inf, device=states.device)
        picked = torch.zeros_like(total)
        for start, logits in self._tiles(states):
            picked = _picked(logits, targets - start, picked)
            total = torch.logaddexp(total, logits.logsumexp(1))
        return total - picked

    def _tiles(self, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """First token and logits [positions x tile], float32 and the caller's to overwrite, of each tile."""
        size = _TILE_TOKENS_CUDA if states.is_cuda else _TILE_TOKENS
        for start in range(0, len(self.weight), size):
            bias = None if self.bias is None else self.bias[start : start + size]
            logits = F.linear(states, self.weight[start : start + size], bias)
            if self.scale != 1:
                logits *= self.scale
            if self.cap:
                logits.div_(self.cap).tanh_().mul_(self.cap)
            yield start, logits.float()


def _picked(logits: torch.Tensor, places: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
    """`picked`, with the logits at `places` where these lie in the tile."""
    size = logits.shape[1]
    inside = (places >= 0) & (places < size)
    return torch.where(inside, logits.gather(1, places.clamp(0, size - 1)[:, None])[:, 0], picked)
