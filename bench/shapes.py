"""How much arithmetic scoring needs: 2 operations a weight of the trunk for every token that must be run, and
2 x width x vocabulary for every scored position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.encoding import Encoded
from core.engine.packing import pack_rows, plan_packs


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the useful work of a model follows from."""

    trunk_weights: int
    width: int
    inner: int
    vocabulary: int

    def operations(self, rows: Sequence[Encoded], share: bool, token_budget: int) -> float:
        """Useful floating-point operations of scoring the rows; `share`: a beginning that rows of a batch of so many
        tokens have in common counts once."""
        tokens = sum(len(row.input_ids) for row in rows)
        if share:
            plan = plan_packs([len(row.input_ids) for row in rows], token_budget)
            tokens = sum(len(pack_rows([rows[row] for row in batch.rows]).input_ids) for batch in plan)
        scored = sum(row.token_count for row in rows)
        return 2.0 * self.trunk_weights * tokens + 2.0 * self.width * self.vocabulary * scored


def shapes_of(model: Any) -> Shapes:
    """Sizes of the model's matrices."""
    head = model.get_output_embeddings()
    matrices = [part.weight for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    inner = max((max(weight.shape) for weight in matrices), default=head.in_features)
    return Shapes(sum(weight.numel() for weight in matrices), head.in_features, inner, head.out_features)
