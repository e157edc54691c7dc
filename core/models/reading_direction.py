"""Tests whether a loaded model is causal: otherwise its losses are meaningless.

The last of a few tokens is changed and the earlier predictions are compared. A causal model repeats them exactly, apart
from rounding in experts that get other tokens; a bidirectional model changes them a lot.
"""

from typing import Any

import torch

_TOKENS = 8
"""Short, so that one token matters; at least as long as the blocks of models with blockwise attention."""

_LEAST_CHANGE = {torch.float32: 1e-4}
_LEAST_CHANGE_HALF = 0.03
"""Tolerance as a share of the predictions' spread: above rounding in each type, and below the effect of bidirectional
attention, which is 0.01 in untrained models and 0.3 or more in trained ones."""

_TIMES_NOISE = 20


@torch.inference_mode()
def reads_to_the_right(model: Any) -> bool:
    """Whether an earlier prediction changes with a later token by more than the model's noise.

    One forward pass of a few short rows, two of them identical, which measure the noise.
    """
    vocabulary = int(model.config.get_text_config().vocab_size)
    device = next(model.parameters()).device
    rows = (torch.arange(1, _TOKENS + 1, device=device) * 97 % vocabulary).repeat(5, 1)
    rows[2:, -1] = (rows[2:, -1] + torch.tensor([32, 63, 94], device=device)) % vocabulary
    logits = model(input_ids=rows, attention_mask=torch.ones_like(rows), use_cache=False).logits[:, :-1].double()
    moved = (logits[1:] - logits[0]).flatten(1).norm(dim=1) / (logits[0] - logits[0].mean(-1, keepdim=True)).norm()
    noise, change = float(moved[0]), float(moved[1:].max())
    least = _LEAST_CHANGE.get(next(model.parameters()).dtype, _LEAST_CHANGE_HALF)
    return change > max(least, _TIMES_NOISE * noise)
