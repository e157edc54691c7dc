"""Trials whose results are given by hand: the files that a trial leaves, without any training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from core.evidence import Arm, Cell, TrialBudget, TrialPlan, cells
from core.evidence.trial_folder import Trial, save_trial
from core.selection import Amount, Selection
from core.store import Store

COST = {"runs": 18, "seconds": 7500.0, "gpu_hours": 2.1, "sentence": "18 runs take about 2 h 5 min (2.1 GPU-hours)."}


def plan_of(run: str, name: str = "tenth", **other: Any) -> TrialPlan:
    """A trial of the selection "top" (a tenth of each domain, by the default score), random rows and the longest."""
    top = Arm("top", "selection", Selection(run, amount=Amount("ratio", 0.1)))
    arms = (top, Arm("random-by-domain", "random-by-domain"), Arm("longest", "longest"))
    fields: dict[str, Any] = {"arms": arms, "budget": TrialBudget(10_000), "created_at": "2026-11-29T10:00:00+00:00"}
    return TrialPlan(name, run, **fields | other)


def write_trial(
    store: Store, plan: TrialPlan, effects: Mapping[str, float] | None = None, done: int | None = None
) -> Trial:
    """Fix a trial of a run of this store; every row of its dataset counts as held out. `effects`: difference of an arm
    from random [nats per token]. `done`: how many of its models are finished, all by default."""
    run = store.run(plan.run)
    rows = store.frame(
        "SELECT example_id::VARCHAR AS example_id, min(domain) AS domain FROM dataset_row WHERE dataset_id = ? "
        "GROUP BY ALL ORDER BY 1",
        [store.dataset_id(run["dataset"])],
    )
    held_out = rows.assign(group=range(len(rows)))
    fixed = {"dataset": run["dataset"], "base": {}, "encoding": {}, "device": "cpu", "keep_models": False, "cost": COST}
    trial = save_trial(store.workspace, plan, fixed, held_out)
    for cell in list(cells(plan))[:done]:
        effect = (effects or {}).get(cell.arm, 0.0) - (0.05 * np.log(cell.ratio) if cell.ratio else 0.0)
        trial.save_result(cell, _losses(held_out, cell, effect), _MEASURED)
    return trial


_MEASURED = {"steps": 10, "input_tokens": 10_000, "scored_tokens": 4000, "seconds": 3.5, "passes": 1.0}


def _losses(held_out: pd.DataFrame, cell: Cell, effect: float) -> pa.Table:
    """2 nats per token and the effect, with noise of the run and of each row."""
    random = np.random.default_rng(list(cell.name.encode()))
    tokens = 2 + np.arange(len(held_out)) % 30
    per_token = 2 + effect + random.normal(0, 0.01) + random.normal(0, 0.03, len(held_out))
    return pa.table(
        {
            "example_id": held_out["example_id"],
            "nll_sum": per_token * tokens,
            "token_count": tokens,
            "end_nll_sum": np.full(len(held_out), 0.5),
            "end_token_count": np.ones(len(held_out), int),
        }
    )
