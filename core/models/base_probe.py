"""Whether a base is still what it was under an adapter that is switched off.

Asked of the weights and of the model: every tensor of the base must be there as it was, and a few rows must give the
logits that the base gave before the adapter was put on it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

_TOKENS = 48
_MOST_TRAINED = 256
_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2**-6}
"""How far a logit may move, as a share of the largest. The same weights give the same bits; what is allowed for is a
wrapper around a layer that multiplies in another order, some rounding steps of each type."""

_Print = tuple[tuple[int, ...], str, int]


@dataclass(frozen=True, slots=True)
class BaseProbe:
    """What a base was before an adapter came: its weights in short, and its logits [rows x tokens x vocabulary]."""

    input_ids: torch.Tensor
    logits: torch.Tensor
    weights: Counter[_Print]

    @classmethod
    def of(cls, base: torch.nn.Module, trained_tokens: Sequence[int] = ()) -> Self:
        """Look at a base; `trained_tokens` are those whose embeddings the adapter changes."""
        input_ids = _probe_ids(base, trained_tokens)
        return cls(input_ids, _logits(base, input_ids), _weights(base))

    def agrees(self, adapted: torch.nn.Module) -> bool:
        """Whether the adapted model, its adapter off, is still that base. The adapter is on again afterwards."""
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
    """Two rows of tokens from all over the vocabulary and those that are trained, in order and backwards: each stands
    at two positions, after other tokens."""
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
    """Every tensor of a model by shape, type and bits: an adapter names the base's tensors anew, and a change of any
    number in one moves its sum."""
    prints: Counter[_Print] = Counter()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and tensor.numel():
            prints[tuple(tensor.shape), str(tensor.dtype), _sum_of_bits(tensor)] += 1
    return prints


def _sum_of_bits(tensor: torch.Tensor) -> int:
    """A tensor's bytes as whole numbers of 64 bits, added up: exact, and as fast as memory is read."""
    words = tensor.detach().reshape(-1).view(torch.uint8)
    if words.numel() % 8:
        return int(words.sum())
    aligned = words.clone() if words.storage_offset() % 8 else words  # a tensor can lie anywhere in its file
    return int(aligned.view(torch.int64).sum())
