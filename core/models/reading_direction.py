"""Whether a loaded model reads to the left only, asked of the model: a causal loss means nothing where it does not.

The last token of a few is changed, and the predictions before it are looked at. A causal model gives exactly what it
gave before, but for the rounding of experts that get other tokens to compute; a model that reads in both directions
changes them by as much as one token of a few can.
"""

from typing import Any

import torch

_TOKENS = 8
"""Short, so that one token counts; as long as the blocks of models that read block by block, or longer."""

_LEAST_CHANGE = {torch.float32: 1e-4}
_LEAST_CHANGE_HALF = 0.03
"""Share of the predictions' own spread: above what rounding moves in a type, and below what attention to the right
does, which is 0.01 in models that were never trained and 0.3 or more in trained ones."""

_TIMES_NOISE = 20


@torch.inference_mode()
def reads_to_the_right(model: Any) -> bool:
    """Whether an earlier prediction of the model changes with a later token, by more than it changes by itself.

    One forward pass of a few short rows, two of them the same: those tell the model's own noise.
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
