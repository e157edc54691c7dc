"""A causal language model taken apart: rows in a padded batch, the trunk that reads them, the head that scores them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..data.encoded import Encoded
from .matrix_products import has_wide_products
from .packed_attention import PackingUnsupported
from .tiled_head import Head

_ROPE_BY_LENGTH = ("dynamic", "longrope")
"""Rotary embeddings that are chosen by the longest position in a batch."""


def padded(rows: Sequence[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """input_ids and attention mask [rows x longest], padded on the right.

    Causal attention never looks to the right, so padding there cannot reach a real token. The pad id is 0 and
    stands for nothing: what is padding is told by the mask alone, because a model's pad may be its end-of-turn.
    Positions are left to the model: RoBERTa's begin behind its padding id, and not at 0.
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
    """Of every scored token of a padded batch: its row, the position whose state predicts it, and its id.

    logits[t] predict token t + 1, so a token that is scored at t + 1 needs the hidden state at t: the one place where
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


def plain_head(causal: Any) -> Head | None:
    """The head as one matrix, where it is no more than that: an adapter on it, say, makes it more."""
    head = causal.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.weight.layout != torch.strided:
        return None
    wide = has_wide_products(head.weight.device, head.weight.dtype)
    return Head(head.weight, head.bias, *_scale_and_cap(causal), wide)


def _scale_and_cap(causal: Any) -> tuple[float, float | None]:
    config = causal.config.get_text_config()
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    return float(scale), getattr(config, "final_logit_softcapping", None)


def awaits_tokens(model: Any) -> bool:
    """Whether an adapter begins only where certain tokens stand (aLoRA): peft looks for them in the whole model's
    input, and a trunk that is run by itself never has it on."""
    configs = getattr(model, "peft_config", {})
    return any(getattr(config, "alora_invocation_tokens", None) for config in configs.values())


def length_limit(causal: Any) -> int | None:
    """Length beyond which a row changes the rotary embedding of those beside it [tokens], if there is one."""
    config = causal.config.get_text_config()
    told = getattr(config, "rope_parameters", None) or {}
    for parameters in (told, *(part for part in told.values() if isinstance(part, dict))):
        if parameters.get("rope_type") in _ROPE_BY_LENGTH:
            return int(parameters.get("original_max_position_embeddings") or config.max_position_embeddings)
    return None


def check_windows(config: Any, windows: dict[int, int | None]) -> None:
    """Raise `PackingUnsupported` unless every layer asked for the window that transformers' mask would give it.

    windows: of each layer, by its number. A model may leave its window to the mask, which the packed form never sees;
    rows shorter than the window would not tell.
    """
    window = getattr(config, "sliding_window", None)
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None) or [None if window is None else "sliding_attention"] * layers
    expected = {"full_attention": None, "sliding_attention": window, None: None}
    if len(windows) != layers or any(kind not in expected for kind in kinds):
        raise PackingUnsupported("its layers are not all full or sliding attention")
    if any(windows[layer] != expected[kind] for layer, kind in enumerate(kinds)):
        raise PackingUnsupported("its layers do not tell their sliding window")
