"""A conversation as tokens, and which of them count: what the encoder gives and the engine takes."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NO_TURN = -1
"""Stands for a turn's number where a token is the template's."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and a mask of the same length that is true where the token is scored.

    `scored[0]` is always false: nothing predicts the first token. Without a scored token, `reason` says why.
    `left_out`: share of the scored replies' text that the template does not write. `folded_system`: the template has no
    system role, so the system prompt stands in the user's turn. `turns`, where it was asked for: of each token the
    number of the turn whose text it is, `NO_TURN` for what the template adds. `is_end`: mask of the scored tokens that
    end a reply (all after its own text, such as `<|im_end|>`); if omitted, none do.
    """

    input_ids: NDArray[np.int32]
    scored: NDArray[np.bool_]
    truncated: bool
    reason: str | None = None
    left_out: float = 0.0
    folded_system: bool = False
    turns: NDArray[np.int32] | None = None
    is_end: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def __post_init__(self) -> None:
        if not len(self.is_end):
            object.__setattr__(self, "is_end", np.zeros_like(self.scored))

    @property
    def token_count(self) -> int:
        """Scored tokens."""
        return int(self.scored.sum())

    @property
    def end_token_count(self) -> int:
        """Scored tokens that end a reply."""
        return int(self.is_end.sum())
