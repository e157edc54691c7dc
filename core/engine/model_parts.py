"""Parts of a causal language model: padded batches, the trunk, and the head."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..data.encoded import Encoded
from .chunked_cross_entropy import Head
from .matrix_products import has_wide_products
from .packed_attention import PackingUnsupported

_ROPE_BY_LENGTH = ("dynamic", "longrope")
"""Rotary embeddings that depend on the longest position in a batch."""


def padded(rows: Sequence[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """input_ids and attention mask [rows x longest], padded on the right.

    With causal attention, padding on the right cannot affect a real token. The pad id 0 has no meaning: only the mask
    marks padding, because a model's pad token may be its end-of-turn. Positions are left to the model: RoBERTa's begin
    after its padding id, not at 0.
    """
    longest = max(len(row.input_ids) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row.input_ids)] = row.input_ids
        mask[index, : len(row.input_ids)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def scored_positions(
    rows: Sequence[Encoded], input_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For every scored token of a padded batch: its row, the position of the state that predicts it, and its id.

    logits[t] predict token t + 1, so a token scored at t + 1 needs the hidden state at t. This is the only place where
    labels are shifted, for scoring and for training.
    """
    scored = np.stack([np.pad(row.scored, (0, input_ids.shape[1] - len(row.scored))) for row in rows])
    row_index, token_index = (torch.from_numpy(index).to(input_ids.device) for index in np.nonzero(scored))
    return row_index, token_index - 1, input_ids[row_index, token_index]


def trunk_states(causal: Any, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Last hidden states [rows x length x width] of a causal language model, without its head."""
    outputs = causal.base_model(input_ids=input_ids, attention_mask=mask, use_cache=False)
    states: torch.Tensor = outputs.last_hidden_state
    return states


def head_logits(causal: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [positions x vocabulary] of hidden states [positions x width], scale and final soft-capping included."""
    logits: torch.Tensor = causal.get_output_embeddings()(hidden)
    scale, cap = _scale_and_cap(causal)
    if scale != 1:
        logits = logits * scale
    return torch.tanh(logits / cap) * cap if cap else logits


def plain_head(causal: Any, tile_tokens: int) -> Head | None:
    """The head, if it is only one matrix, not in float64 (its tiles are float32); None otherwise (for example with an
    adapter on it)."""
    head = causal.get_output_embeddings()
    is_plain = type(head) is torch.nn.Linear and head.weight.layout == torch.strided
    if not is_plain or head.weight.dtype == torch.float64:
        return None
    wide = has_wide_products(head.weight.device, head.weight.dtype)
    return Head(head.weight, head.bias, *_scale_and_cap(causal), wide, tile_tokens)


def _scale_and_cap(causal: Any) -> tuple[float, float | None]:
    config = causal.config.get_text_config()
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    return float(scale), getattr(config, "final_logit_softcapping", None)


def awaits_tokens(model: Any) -> bool:
    """Whether an adapter is active only after certain tokens (aLoRA): peft finds them in the whole model's input, so a
    trunk run separately never has it active."""
    configs = getattr(model, "peft_config", {})
    return any(getattr(config, "alora_invocation_tokens", None) for config in configs.values())


def length_limit(causal: Any) -> int | None:
    """Length above which a row changes the rotary embedding of other rows in its batch [tokens], if there is one."""
    config = causal.config.get_text_config()
    told = getattr(config, "rope_parameters", None) or {}
    for parameters in (told, *(part for part in told.values() if isinstance(part, dict))):
        if parameters.get("rope_type") in _ROPE_BY_LENGTH:
            return int(parameters.get("original_max_position_embeddings") or config.max_position_embeddings)
    return None


def check_windows(config: Any, windows: dict[int, int | None]) -> None:
    """Raise `PackingUnsupported` unless every layer requested the window that transformers' mask would apply.

    windows: by layer number. A model may implement its window only in the mask, which packing does not use; rows
    shorter than the window would not reveal that.
    """
    window = getattr(config, "sliding_window", None)
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None) or [None if window is None else "sliding_attention"] * layers
    expected = {"full_attention": None, "sliding_attention": window, None: None}
    if len(windows) != layers or any(kind not in expected for kind in kinds):
        raise PackingUnsupported("its layers are not all full or sliding attention")
    if any(windows[layer] != expected[kind] for layer, kind in enumerate(kinds)):
        raise PackingUnsupported("its layers do not state their sliding window")
