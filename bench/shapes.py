"""How much arithmetic scoring needs: 2 operations a weight of the trunk for every token that must be run, 4 a channel
of the heads for every pair of tokens that attend in a layer, and 2 x width x vocabulary for every scored position.

The count of Chowdhery et al. 2022 (PaLM, arXiv 2204.02311, appendix B), forward only, with causal pairs only and the
head only where a token is scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.data.encoded import Encoded
from core.engine.packing import Segment, pack_rows, plan_packs


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the useful work of a model follows from; `windows`: how many tokens one attends to at most, by layer."""

    trunk_weights: int
    width: int
    inner: int
    vocabulary: int
    heads_width: int
    windows: tuple[int | None, ...]

    def operations(self, rows: Sequence[Encoded], share: bool, token_budget: int) -> float:
        """Useful floating-point operations of scoring the rows; `share`: a beginning that rows of a batch of so many
        tokens have in common counts once."""
        plan = plan_packs([len(row.input_ids) for row in rows], token_budget)
        segments = [
            segment for batch in plan for segment in pack_rows([rows[row] for row in batch.rows], share).segments
        ]
        tokens = sum(segment.length for segment in segments)
        pairs = sum(_pairs(segment, window) for segment in segments for window in self.windows)
        scored = sum(row.token_count for row in rows)
        trunk = 2.0 * self.trunk_weights * tokens + 4.0 * self.heads_width * pairs
        return trunk + 2.0 * self.width * self.vocabulary * scored


def shapes_of(model: Any) -> Shapes:
    """Sizes of the model's matrices, heads and windows."""
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    matrices = [part.weight for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    inner = max((max(weight.shape) for weight in matrices), default=head.in_features)
    heads = config.num_attention_heads
    channels = getattr(config, "head_dim", None) or config.hidden_size // heads
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    windows = tuple(config.sliding_window if kind == "sliding_attention" else None for kind in kinds)
    weights = sum(weight.numel() for weight in matrices)
    return Shapes(weights, head.in_features, inner, head.out_features, heads * channels, windows)


def _pairs(segment: Segment, window: int | None) -> int:
    """Pairs of a query and a key in a segment; a shared beginning's own queries are another segment's."""
    first, last = segment.shared_length + 1, segment.seen
    within = min(last, window or last)
    whole = max(0, within - first + 1)
    return whole * (first + within) // 2 + (segment.length - whole) * (window or 0)
