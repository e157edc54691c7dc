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
    """Whether an earlier prediction of the model changes with a later token, by more than it changes by itself."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    device = next(model.parameters()).device
    first = torch.arange(1, _TOKENS + 1, device=device) * 97 % vocabulary
    before, again = _predictions(model, first), _predictions(model, first)
    spread = (before - before.mean(dim=-1, keepdim=True)).norm()
    noise = (again - before).norm() / spread
    change = noise
    for step in (1, 2, 3):
        other = first.clone()
        other[-1] = (first[-1] + step * 31 + 1) % vocabulary
        change = torch.maximum(change, (_predictions(model, other) - before).norm() / spread)
    least = _LEAST_CHANGE.get(next(model.parameters()).dtype, _LEAST_CHANGE_HALF)
    return bool(change > max(least, _TIMES_NOISE * float(noise)))


def _predictions(model: Any, input_ids: torch.Tensor) -> torch.Tensor:
    """Logits [tokens but the last x vocabulary], float64: on a GPU's float32 sums of squares would overflow first."""
    batch = input_ids[None]
    outputs = model(input_ids=batch, attention_mask=torch.ones_like(batch), use_cache=False)
    logits: torch.Tensor = outputs.logits[0, :-1].double()
    return logits
