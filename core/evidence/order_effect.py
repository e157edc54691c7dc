"""Order effect: does it matter for a row's loss when in the first pass it was trained on?

Two references with different seeds saw the same rows in different orders. Their difference in loss against their
difference in position cancels how hard the row is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pandas as pd
import pyarrow as pa

from ..exploring.rank_correlation import spearman
from ..store import Store
from .training_records import TrainedModel

_FEWEST_BATCHES = 4
_WIDE = 0.5
"""An interval that is wider than this says nothing."""


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """Spearman of loss difference with position difference, `low` to `high` its 95 % interval.

    Negative: rows that come later in the first pass end with a lower loss. `rows`: of all pairs of models together.
    """

    correlation: float
    low: float
    high: float
    rows: int
    pairs: int

    def sentence(self) -> str:
        """What it means, with the figures."""
        figures = f"{self.correlation:+.2f} [{self.low:+.2f}, {self.high:+.2f}] over {self.rows:,} rows"
        if self.low <= 0 <= self.high and self.high - self.low > _WIDE:
            return (
                f"Too few batches to tell whether the data order matters: correlation of loss with position {figures}."
            )
        if self.low <= 0 <= self.high:
            return f"No effect of the data order is seen: correlation of loss with position {figures}."
        which = "later" if self.correlation < 0 else "earlier"
        return f"Rows that came {which} in training end with a lower loss: correlation of loss with position {figures}."


def order_effect(
    store: Store, models: Sequence[TrainedModel], encoding: str, confidence: float = 0.95
) -> OrderEffect | None:
    """From all pairs of models of one fold with different seeds; None if no pair has enough batches in common.

    Only rows count that both were trained on and have losses of both (`encoding`: fingerprint of the losses). Positions
    are from 0 to 1, in the first pass. The correlations are averaged by Fisher's z; its variance for Spearman is
    (1 + r^2 / 2) / (n - 3) (Bonett and Wright 2000). n counts batches, not rows: the rows of a batch are trained on at
    once, and in small data they are the same rows under every seed. The pairs of S models hold only S - 1 independent
    differences, so they count by 2 / S; folds do not add up, because a seed may give them the same order of batches.
    """
    found, independent = [], 0.0
    for same_fold in _by_fold(models):
        pairs = [_pair(store, encoding, *pair) for pair in combinations(same_fold, 2)]
        counted = [pair for pair in pairs if pair.batches > _FEWEST_BATCHES and not math.isnan(pair.correlation)]
        independent = max(independent, sum(pair.batches - 3 for pair in counted) * 2 / len(same_fold))
        found += counted
    if not found:
        return None
    rows = sum(pair.rows for pair in found)
    z = sum(math.atanh(_inside(pair.correlation)) * pair.rows for pair in found) / rows
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt((1 + math.tanh(z) ** 2 / 2) / independent)
    return OrderEffect(math.tanh(z), math.tanh(z - half), math.tanh(z + half), rows, len(found))


@dataclass(frozen=True, slots=True)
class _Pair:
    """Spearman of the differences of two models, over how many rows, and how many batches they came in."""

    correlation: float
    rows: int
    batches: int


def _by_fold(models: Iterable[TrainedModel]) -> list[list[TrainedModel]]:
    folds: dict[int | None, list[TrainedModel]] = {}
    for model in models:
        folds.setdefault(model.fold, []).append(model)
    return [same for same in folds.values() if len(same) > 1]


def _pair(store: Store, encoding: str, first: TrainedModel, second: TrainedModel) -> _Pair:
    one, other = (_loss_set(store, model, encoding) for model in (first, second))
    sql = """
        SELECT example_id::VARCHAR AS example_id, a.nll_sum / a.token_count - b.nll_sum / b.token_count AS change
        FROM loss a JOIN loss b USING (example_id) WHERE a.loss_set_id = ? AND b.loss_set_id = ?
        AND a.token_count > 0 AND b.token_count > 0 AND isfinite(a.nll_sum) AND isfinite(b.nll_sum)
    """

    def compute(losses: pa.Table) -> pd.DataFrame:
        places = [_positions(model.data_order()) for model in (first, second)]
        ids = losses.column("example_id").to_pylist()
        moved = np.array([places[0].get(one, math.nan) - places[1].get(one, math.nan) for one in ids], dtype=float)
        both = ~np.isnan(moved)
        r = spearman(losses.column("change").to_numpy()[both], moved[both])
        return pd.DataFrame({"correlation": [r], "rows": [int(both.sum())]})

    found = store.derived("order effect", sql, [one, other], compute)
    batches = min(model.batches_a_pass() or 0 for model in (first, second))
    return _Pair(float(found["correlation"].iloc[0]), int(found["rows"].iloc[0]), batches)


def _loss_set(store: Store, model: TrainedModel, encoding: str) -> int | None:
    sql = "SELECT loss_set_id FROM loss_set WHERE model_fingerprint = ? AND encoding_fingerprint = ?"
    found = store.rows(sql, [model.fingerprint, encoding])
    return int(found[0][0]) if found else None


def _positions(order: Sequence[str]) -> Mapping[str, float]:
    """Where each example first comes, from 0 to 1."""
    last = max(1, len(order) - 1)
    return {example_id: place / last for place, example_id in reversed(list(enumerate(order)))}


def _inside(r: float) -> float:
    """A correlation of exactly 1 has no z."""
    return float(np.clip(r, -0.999999, 0.999999))
