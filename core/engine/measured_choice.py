"""Measures how the engine computes fastest on this processor, with the model's own shapes, in under half a second."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, TypeGuard, TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from .chunked_cross_entropy import Head
from .engine_choice import BLOCKS, ONEDNN, TILES, TORCH, EngineChoice
from .matrix_products import has_onednn, products_by
from .packed_attention import PackedPlaces, attend
from .packing import Pack, Segment

RULE = 1
"""Raise it when the measurement changes: kept results are then measured again."""
_SECONDS = 0.1
"""How long each of the three parts takes turns, beyond a first turn [seconds]."""
_POSITIONS = 1024
_MOST_WEIGHTS = 2**30
"""Positions times weights of one product: at 50 GFLOP/s it takes 40 ms."""
_SHARED_TOKENS, _ROW_TOKENS = 32, (360, 250, 180, 120, 80)
"""A pack such as rows with one template make: a shared beginning, and the rest of each row."""
_WORTH_IT = 0.95
"""A choice other than the first is taken only if it takes less than this share of the first one's time."""

Kind = TypeVar("Kind", str, int)


@torch.inference_mode()
def measured_choice(causal: Any) -> EngineChoice:
    """Measure the fastest choice for a model in float32 on a CPU."""
    began = time.process_time()
    products, said_products = _fastest_products(causal)
    with products_by(products, torch.device("cpu"), torch.float32):
        attention, said_attention = _fastest_attention(causal)
        tile_tokens, said_tiles = _fastest_tile(causal)
    seconds = time.process_time() - began
    said = "; ".join(part for part in (said_products, said_attention, said_tiles) if part)
    return EngineChoice(products, attention, tile_tokens, f"measured in {seconds:.2f} s: {said}")


def _fastest_products(causal: Any) -> tuple[str, str]:
    """The faster library on the matrices that most of the trunk's weights are in, and on a tile of the head."""
    weights = float32_weights(causal)
    if weights is None or not has_onednn():
        return TORCH, ""
    inputs = [torch.randn(_positions(weight), weight.shape[1]) for weight, _ in weights]

    def multiply(library: str) -> Iterator[float]:
        with products_by(library, torch.device("cpu"), torch.float32):
            for states, (weight, count) in zip(inputs, weights, strict=True):
                yield count / len(states) * _seconds(lambda s=states, w=weight: F.linear(s, w))  # type: ignore[misc]

    times = _by_turns({library: lambda name=library: sum(multiply(name)) for library in (TORCH, ONEDNN)})  # type: ignore[misc]
    operations = sum(2.0 * count * weight.numel() for weight, count in weights)
    rates = {library: operations / seconds / 1e9 for library, seconds in times.items()}
    return _fastest(times), f"oneDNN {rates[ONEDNN]:.0f} GFLOP/s, torch's own library {rates[TORCH]:.0f}"


def _fastest_attention(causal: Any) -> tuple[str, str]:
    config = causal.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if not isinstance(heads, int):
        return BLOCKS, ""
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    if not (isinstance(key_heads, int) and isinstance(width, int)):
        return BLOCKS, ""
    segments = [Segment(0, _SHARED_TOKENS)]
    for length in _ROW_TOKENS:
        segments.append(Segment(segments[-1].start + segments[-1].length, length, 0, _SHARED_TOKENS))
    tokens = _SHARED_TOKENS + sum(_ROW_TOKENS)
    query, key, value = (torch.randn(1, count, tokens, width) for count in (heads, key_heads, key_heads))
    ids, none = np.zeros(tokens, np.int64), np.zeros(0, np.int64)
    pack = Pack(ids, ids, tuple(segments), none, none, none)
    module: Any = SimpleNamespace(is_causal=True, layer_idx=0, training=False)

    def timed(places: PackedPlaces) -> Callable[[], float]:
        return lambda: _seconds(lambda: attend(module, query, key, value, None, packed_places=places))

    times = _by_turns({form: timed(PackedPlaces.of(pack, blocks=form == BLOCKS)) for form in (BLOCKS, TORCH)})
    return _fastest(times), f"attention {times[BLOCKS] * 1e3:.1f} ms in blocks, {times[TORCH] * 1e3:.1f} by torch"


def _fastest_tile(causal: Any) -> tuple[int, str]:
    weight = getattr(_head_of(causal), "weight", None)
    first = TILES[1]
    if not _is_plain(weight) or len(weight) < 2 * TILES[-1]:
        return first, ""
    weight = weight[: TILES[-1]]
    states = torch.randn(_positions(weight), weight.shape[1])
    targets = torch.zeros(len(states), dtype=torch.long)

    def timed(tokens: int) -> Callable[[], float]:
        return lambda: _seconds(lambda: Head(weight, None, 1.0, None, tile_tokens=tokens).losses(states, targets))

    times = _by_turns({tokens: timed(tokens) for tokens in (first, *(size for size in TILES if size != first))})
    return _fastest(times), "tiles " + ", ".join(f"{size:,}: {times[size] * 1e3:.1f} ms" for size in TILES)


def _by_turns(ways: Mapping[Kind, Callable[[], float]]) -> dict[Kind, float]:
    """The shortest time of each way [seconds]; they take turns, so that what else the machine does falls on all."""
    began, times = time.process_time(), dict.fromkeys(ways, float("inf"))
    while True:
        for name, run in ways.items():
            times[name] = min(times[name], run())
        if time.process_time() - began > _SECONDS:
            return times


def _fastest(times: dict[Kind, float]) -> Kind:
    """The first way, unless another one is clearly faster."""
    first, best = next(iter(times)), min(times, key=lambda name: times[name])
    return best if times[best] < _WORTH_IT * times[first] else first


def _seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def _head_of(causal: Any) -> Any:
    """The language-model head, or None: code in another form than transformers' own may have none."""
    return getattr(causal, "get_output_embeddings", lambda: None)()


def float32_weights(causal: Any) -> list[tuple[torch.Tensor, int]] | None:
    """A matrix of each of the two shapes with most weights, and a tile of the head, each with how many there are; None
    if none is in float32."""
    head = _head_of(causal)
    linear = [part.weight for part in causal.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    matrices = {tuple(weight.shape): weight.detach() for weight in linear if _is_plain(weight)}
    counts = Counter(tuple(weight.shape) for weight in linear if _is_plain(weight))
    largest = sorted(matrices, key=lambda shape: -counts[shape] * shape[0] * shape[1])[:2]
    found = [(matrices[shape], counts[shape]) for shape in largest]
    if _is_plain(getattr(head, "weight", None)):
        tile = head.weight.detach()[: TILES[1]]
        found.append((tile, max(1, len(head.weight) // len(tile))))
    return found or None


def _is_plain(weight: Any) -> TypeGuard[torch.Tensor]:
    return (
        isinstance(weight, torch.Tensor)
        and weight.dtype == torch.float32
        and weight.dim() == 2
        and weight.layout == torch.strided
        and weight.is_contiguous()
        and weight.numel() > 0
    )


def _positions(weight: torch.Tensor) -> int:
    return min(_POSITIONS, max(64, _MOST_WEIGHTS // weight.numel()))
