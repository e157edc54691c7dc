"""Attention of rows that lie end to end in one sequence: each row sees itself, and the beginning that it shares.

Registered with transformers under `NAME`. No mask is registered for it, so transformers builds none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from core.packing import Pack

NAME = "lobass_packed"


class PackingUnsupported(Exception):
    """A model's attention asks for something that the packed form does not do."""


@dataclass(slots=True)
class PackedPlaces:
    """What the attention function needs of a pack, on the model's device.

    buckets: places [segments x longest] of the tokens of segments of like length; answers [tokens]: where each token's
    result lies among the buckets'. `windows` collects the sliding window that each layer asked for, by its number.
    """

    buckets: list[torch.Tensor]
    answers: torch.Tensor
    windows: dict[int, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, pack: Pack, device: torch.device) -> "PackedPlaces":
        """Those of a pack."""
        buckets = [torch.from_numpy(bucket.places).to(device) for bucket in pack.buckets]
        return cls(buckets, torch.from_numpy(pack.answers).to(device))


@contextmanager
def packed_attention(causal: Any) -> Iterator[None]:
    """Within it the model's layers attend in packs; afterwards as they did before."""
    before = causal.config._attn_implementation
    causal.set_attn_implementation(NAME)
    if causal.config._attn_implementation != NAME:
        raise PackingUnsupported("its attention cannot be replaced")
    try:
        yield
    finally:
        causal.set_attn_implementation(before)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    packed_places: PackedPlaces | None = None,
    **asked: Any,
) -> tuple[torch.Tensor, None]:
    """Query [1 x heads x tokens x width], key and value of as many heads or fewer -> [1 x tokens x heads x width]."""
    if packed_places is None:
        raise PackingUnsupported("it does not hand its layers what it was given")
    if softcap is not None:
        raise PackingUnsupported("its attention is soft-capped")
    if attention_mask is not None or not getattr(module, "is_causal", True):
        raise PackingUnsupported("its attention is not plainly causal")
    if any(asked.get(name) is not None for name in ("s_aux", "position_bias", "indices", "head_mask")):
        raise PackingUnsupported("its attention has terms of its own")
    packed_places.windows[getattr(module, "layer_idx", len(packed_places.windows))] = sliding_window
    heads, width = query.shape[1], value.shape[-1]
    query, key, value = query[0], key[0], value[0]
    answers = [
        _attend_rows(_rows(query, places), _rows(key, places), _rows(value, places), scaling, sliding_window)
        .transpose(1, 2)
        .reshape(-1, heads, width)
        for places in packed_places.buckets
    ]
    return torch.cat(answers).index_select(0, packed_places.answers).unsqueeze(0), None


def _rows(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """[heads x tokens x width] -> [rows x heads x length x width]."""
    heads, _, width = states.shape
    return states.index_select(1, places.flatten()).view(heads, *places.shape, width).transpose(0, 1)


def _attend_rows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    """Causal attention [rows x heads x length x width], of each token to at most `window` last ones, itself included.

    Beyond the window, a block of queries at a time: time and memory grow with the length and not with its square.
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (_repeated(states, groups) for states in (key, value))
    length = query.shape[2]
    if window is None or length <= window:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    blocks = []
    for start in range(0, length, window):
        first, end = max(0, start - window + 1), min(start + window, length)
        ago = torch.arange(start, end, device=query.device)[:, None] - torch.arange(first, end, device=query.device)
        blocks.append(
            F.scaled_dot_product_attention(
                query[:, :, start:end],
                key[:, :, first:end],
                value[:, :, first:end],
                attn_mask=(ago >= 0) & (ago < window),
                scale=scaling,
            )
        )
    return torch.cat(blocks, dim=2)


def _repeated(states: torch.Tensor, times: int) -> torch.Tensor:
    """Each head so many times over, without a copy where there is one head."""
    if states.shape[1] == 1:
        return states.expand(-1, times, -1, -1)
    return states.repeat_interleave(times, dim=1)


AttentionInterface.register(NAME, _attend)
