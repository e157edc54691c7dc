"""Attention for packed rows: each row attends to itself and to its shared prefix.

Registered with transformers under `NAME`. No mask is registered for it, so transformers builds none.

Three implementations: segments of similar length bucketed together, with scaled dot products, on any device and
precision; on a GPU in half precision, all segments in one call of torch's variable-length flash attention, without
padding; on a CPU in float32, a segment's queries in blocks as matrix products, if `measured_choice` finds that faster.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PreTrainedModel

from .packing import Pack, Segment, side_by_side

NAME = "lobass_packed"
_BLOCK_QUERIES = 128
"""Larger blocks compute scores of keys that no query of the block attends to; smaller ones make small products."""
LONGEST_IN_BLOCKS = 1024
"""For longer segments with several key heads, torch's attention is faster: it does not store scores."""


class PackingUnsupported(Exception):
    """A model's attention needs something that packed attention does not support."""


def has_varlen(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether variable-length flash attention supports this device and dtype."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


def has_blocks(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether blockwise attention supports this device and dtype: it would be slow on others."""
    return device.type == "cpu" and dtype == torch.float32


@dataclass(frozen=True, slots=True)
class Runs:
    """Segments as runs of queries and keys, for variable-length attention.

    Queries are in the pack's order. key_places [keys]: for each segment, the places of the tokens that its last token
    attends to; query_ends and key_ends [segments + 1], int32: where each run ends.
    """

    query_ends: torch.Tensor
    key_ends: torch.Tensor
    key_places: torch.Tensor
    most_queries: int
    most_keys: int

    @classmethod
    def of(cls, pack: Pack) -> "Runs":
        """The runs of a pack."""
        places = []
        for segment in pack.segments:
            places.append(np.arange(segment.shared_start, segment.shared_start + segment.shared_length))
            places.append(np.arange(segment.start, segment.start + segment.length))
        queries, keys = ([getattr(segment, kind) for segment in pack.segments] for kind in ("length", "seen"))
        ends = [torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32)) for lengths in (queries, keys)]
        return cls(ends[0], ends[1], torch.from_numpy(np.concatenate(places)), max(queries), max(keys))

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> "Runs":
        """Each tensor as `move` gives it."""
        return Runs(
            move(self.query_ends), move(self.key_ends), move(self.key_places), self.most_queries, self.most_keys
        )


@dataclass(slots=True)
class PackedPlaces:
    """What the attention function needs of a pack, on the model's device: `runs`, or `blocks`, or else the buckets.

    buckets: places [segments x longest] of the tokens of segments of similar length; answers [tokens]: the index of
    each token's result in the buckets' results. `windows` collects the sliding window requested by each layer, by its
    number.
    """

    buckets: list[torch.Tensor]
    answers: torch.Tensor
    runs: Runs | None = None
    blocks: tuple[Segment, ...] | None = None
    windows: dict[int, int | None] = field(default_factory=dict)

    @classmethod
    def of(cls, pack: Pack, varlen: bool = False, blocks: bool = False) -> "PackedPlaces":
        """The places of a pack, in main memory."""
        if varlen or blocks:
            runs = Runs.of(pack) if varlen else None
            return cls([], torch.zeros(0, dtype=torch.long), runs, None if varlen else pack.segments)
        buckets, answers = side_by_side(pack)
        return cls([torch.from_numpy(bucket.places) for bucket in buckets], torch.from_numpy(answers))

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> "PackedPlaces":
        """Apply `move` to each tensor; no windows are collected yet."""
        runs = None if self.runs is None else self.runs.moved(move)
        return PackedPlaces([move(bucket) for bucket in self.buckets], move(self.answers), runs, self.blocks)

    def to(self, device: torch.device) -> "PackedPlaces":
        """On another device, for a layer that is there; it collects windows for all."""
        if self.answers.device == device:
            return self
        there = self.moved(lambda tensor: tensor.to(device))
        there.windows = self.windows
        return there


@contextmanager
def packed_attention(causal: Any) -> Iterator[None]:
    """Context manager: the model's layers use packed attention."""
    # A multi-part model has a config for each part; parts that reject this attention must not keep it.
    configs = {id(part.config): part.config for part in causal.modules() if isinstance(part, PreTrainedModel)}
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        causal.set_attn_implementation(NAME)
        if causal.config.get_text_config()._attn_implementation != NAME:
            raise PackingUnsupported("its attention cannot be replaced")
        yield
    finally:
        for config, attention in before:
            config._attn_implementation = attention


def attend(
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
        raise PackingUnsupported("it does not pass its arguments on to its layers")
    if softcap is not None:
        raise PackingUnsupported("its attention is soft-capped")
    if attention_mask is not None or not getattr(module, "is_causal", True):
        raise PackingUnsupported("its attention is not plainly causal")
    if any(asked.get(name) is not None for name in ("s_aux", "position_bias", "indices", "head_mask")):
        raise PackingUnsupported("its attention has additional terms")
    if module.training and asked.get("dropout"):
        raise PackingUnsupported("its attention drops out")
    packed_places.windows[getattr(module, "layer_idx", len(packed_places.windows))] = sliding_window
    heads, width = query.shape[1], value.shape[-1]
    query, key, value = query[0], key[0], value[0]
    if packed_places.runs is not None:
        return _attend_runs(query, key, value, packed_places.runs, scaling, sliding_window).unsqueeze(0), None
    if packed_places.blocks is not None:
        return _attend_blocks(query, key, value, packed_places.blocks, scaling, sliding_window).unsqueeze(0), None
    answers = [
        _attend_rows(_rows(query, places), _rows(key, places), _rows(value, places), scaling, sliding_window)
        .transpose(1, 2)
        .reshape(-1, heads, width)
        for places in packed_places.buckets
    ]
    return torch.cat(answers).index_select(0, packed_places.answers).unsqueeze(0), None


def _attend_runs(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, runs: Runs, scaling: float | None, window: int | None
) -> torch.Tensor:
    """[heads x tokens x width] -> [tokens x heads x width]; causal, aligned at the end of each run."""
    attended = varlen_attn(
        query.transpose(0, 1),
        key.transpose(0, 1).index_select(0, runs.key_places),
        value.transpose(0, 1).index_select(0, runs.key_places),
        runs.query_ends,
        runs.key_ends,
        runs.most_queries,
        runs.most_keys,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[0] != key.shape[0],
    )
    assert isinstance(attended, torch.Tensor)
    return attended


def _attend_blocks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Sequence[Segment],
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """[heads x tokens x width] -> [tokens x heads x width]; queries of a shared prefix are computed once."""
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    answers = []  # segments are in the pack's order
    for segment in segments:
        keys, values = (_seen_by(segment, states) for states in (key, value))
        if len(key) > 1 and segment.seen > LONGEST_IN_BLOCKS and (window is None or segment.seen <= window):
            whole = _attend_rows(_seen_by(segment, query)[None], keys[None], values[None], 1.0, None)[0]
            answers.append(whole[:, segment.shared_length :].transpose(0, 1))
            continue
        for start in range(0, segment.length, _BLOCK_QUERIES):
            end = min(start + _BLOCK_QUERIES, segment.length)
            last = segment.shared_length + end
            first = 0 if window is None else max(0, last - (end - start) - window + 1)
            block = slice(segment.start + start, segment.start + end)
            answers.append(_attend_block(query[:, block], keys[:, first:last], values[:, first:last], window))
    return torch.cat(answers)


def _seen_by(segment: Segment, states: torch.Tensor) -> torch.Tensor:
    """The part of [heads x tokens x width] that the segment's last token attends to."""
    own = states[:, segment.start : segment.start + segment.length]
    shared = states[:, segment.shared_start : segment.shared_start + segment.shared_length]
    return torch.cat((shared, own), 1)


def _attend_block(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None) -> torch.Tensor:
    """[heads x queries x width], already scaled, the last query at the last key -> [queries x heads x width]."""
    (heads, queries, width), (key_heads, keys, _) = query.shape, key.shape
    scores = _products(query.reshape(key_heads, -1, width), key).view(heads, queries, keys)
    scores[..., keys - queries :] += torch.full((queries, queries), -torch.inf).triu_(1)
    if window is not None and keys > window:
        scores.masked_fill_(torch.ones(queries, keys, dtype=torch.bool).tril_(keys - queries - window), -torch.inf)
    attended = _products(scores.softmax(-1).view(key_heads, -1, keys), value.transpose(1, 2))
    return attended.view(heads, queries, -1).transpose(0, 1)


def _products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[heads x m x n] and [heads x k x n] -> [heads x m x k]; for one head by `F.linear`, see `products_by`."""
    if len(left) == 1:
        return F.linear(left[0], right[0].contiguous())[None]
    return torch.bmm(left, right.transpose(1, 2))


def _rows(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """[heads x tokens x width] -> [rows x heads x length x width]."""
    heads, _, width = states.shape
    return states.index_select(1, places.flatten()).view(heads, *places.shape, width).transpose(0, 1)


def _attend_rows(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, window: int | None
) -> torch.Tensor:
    """Causal attention [rows x heads x length x width] of each token to the last `window` tokens, itself included.

    Rows longer than the window are computed in blocks of queries: time and memory grow linearly with the length.
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
    """Each head repeated `times` times, without a copy if there is one head."""
    if states.shape[1] == 1:
        return states.expand(-1, times, -1, -1)
    return states.repeat_interleave(times, dim=1)


AttentionInterface.register(NAME, attend)
