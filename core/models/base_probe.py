"""Tests whether disabling an adapter restores the base.

Every tensor of the base must be unchanged, and a few rows must give the same logits as before the adapter was applied.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

_TOKENS = 48
_MOST_TRAINED = 256
_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2**-6}
"""Tolerated change of a logit, as a share of the largest. The same weights give the same bits; this allows a few
rounding steps of each type, for layer wrappers that multiply in another order."""

_Print = tuple[tuple[int, ...], str, int]


@dataclass(frozen=True, slots=True)
class BaseProbe:
    """A base before an adapter is applied: checksums of its weights, and its logits [rows x tokens x vocabulary]."""

    input_ids: torch.Tensor
    logits: torch.Tensor
    weights: Counter[_Print]

    @classmethod
    def of(cls, base: torch.nn.Module, trained_tokens: Sequence[int] = ()) -> Self:
        """Probe a base; `trained_tokens` are those whose embeddings the adapter changes."""
        input_ids = _probe_ids(base, trained_tokens)
        return cls(input_ids, _logits(base, input_ids), _weights(base))

    def agrees(self, adapted: torch.nn.Module) -> bool:
        """Whether the adapted model equals the base with its adapter disabled. The adapter is enabled again
        afterwards."""
        if self.weights - _weights(adapted):
            return False
        tuner: Any = adapted.base_model
        tuner.disable_adapter_layers()
        try:
            found = _logits(adapted, self.input_ids)
        finally:
            tuner.enable_adapter_layers()
        if found.shape != self.logits.shape:
            return False
        moved = (found.float() - self.logits.float()).abs().max()
        return bool(moved <= _TOLERANCES[found.dtype] * self.logits.abs().max().float())


def _probe_ids(base: Any, trained_tokens: Sequence[int]) -> torch.Tensor:
    """Two rows with tokens from the whole vocabulary and the trained ones, forwards and backwards: each token occurs at
    two positions, after different tokens."""
    vocabulary = int(base.config.get_text_config().vocab_size)
    spread = [number * 97 % vocabulary for number in range(_TOKENS)]
    known = [token for token in trained_tokens if 0 <= token < vocabulary]
    row = [*spread[: _TOKENS // 2], *known[:_MOST_TRAINED], *spread[_TOKENS // 2 :]]
    return torch.tensor([row, row[::-1]], device=next(base.parameters()).device)


@torch.inference_mode()
def _logits(model: Any, input_ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=input_ids, use_cache=False).logits
    return logits


@torch.inference_mode()
def _weights(model: torch.nn.Module) -> Counter[_Print]:
    """Every tensor of a model by shape, type and checksum, without names: an adapter renames the base's tensors."""
    prints: Counter[_Print] = Counter()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and tensor.numel():
            prints[tuple(tensor.shape), str(tensor.dtype), _sum_of_bits(tensor)] += 1
    return prints


def _sum_of_bits(tensor: torch.Tensor) -> int:
    """Sum of a tensor's bytes as 64-bit integers: exact, and as fast as reading memory."""
    words = tensor.detach().reshape(-1).view(torch.uint8)
    if words.numel() % 8:
        return int(words.sum())
    aligned = words.clone() if words.storage_offset() % 8 else words  # a tensor may be unaligned in its file
    return int(aligned.view(torch.int64).sum())
