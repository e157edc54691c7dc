"""The results of a trial: from files of cells to verdicts, whole, incomplete, and where they do not fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.errors import TrialInvalid
from core.evidence.result_fields import ArmResult, Comparison, TrialResults
from core.evidence.trial import Arm, Cell, TrialBudget, TrialPlan, cells
from core.evidence.trial_results import trial_results
from core.selection import Selection

ROWS = 60
TOKENS = 2 + np.arange(ROWS) % 30
HELD_OUT = pd.DataFrame(
    {
        "example_id": [f"row {number:02}" for number in range(ROWS)],
        "domain": ["chat" if number % 3 else "math" for number in range(ROWS)],
        "group": pd.array([number // 2 if number < 20 else None for number in range(ROWS)], "Int64"),
    }
)
"""Twenty rows in ten pairs of near-duplicates, and forty rows alone; a third is math."""
PLAN = TrialPlan(
    "tenth",
    "first",
    (Arm("top", "selection", Selection("first")), Arm("random", "random-by-domain"), Arm("longest", "longest")),
    TrialBudget(10_000),
)
EFFECTS = {"top": -0.3, "random": 0.0, "longest": 0.0}
"""True differences from random [nats per token]."""

Change = Callable[[pd.DataFrame], pd.DataFrame]


def write_cell(folder: Path, cell: Cell, effect: float, change: Change = lambda table: table, **fields: Any) -> None:
    """The two files of a cell: 2 nats per token and the effect, with noise of the run and of each row; the end-of-turn
    is the last token, of half a nat."""
    random = np.random.default_rng(list(cell.name.encode()))
    per_token = 2 + effect + random.normal(0, 0.01) + random.normal(0, 0.03, ROWS)
    table = pd.DataFrame(
        {
            "example_id": HELD_OUT["example_id"],
            "nll_sum": per_token * (TOKENS - 1) + 0.5,
            "token_count": TOKENS,
            "end_nll_sum": 0.5,
            "end_token_count": 1,
        }
    )
    (folder / "cells").mkdir(exist_ok=True)
    table = change(table.sample(frac=1, random_state=0))
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), folder / "cells" / f"{cell.name}.parquet")
    measured = {"steps": 10, "input_tokens": 10_000, "scored_tokens": 4000, "seconds": 3.5}
    own = {"arm": cell.arm, "ratio": cell.ratio, "draw": cell.draw, "seed": cell.seed}
    (folder / "cells" / f"{cell.name}.json").write_text(json.dumps(own | measured | fields))


def write_trial(folder: Path, plan: TrialPlan = PLAN) -> list[Cell]:
    """The files of all cells; returns the cells."""
    planned = list(cells(plan))
    for cell in planned:
        write_cell(folder, cell, EFFECTS.get(cell.arm, 0.0))
    return planned


def arm_of(results: TrialResults, name: str) -> ArmResult:
    return next(arm for arm in results.arms if arm.arm == name)


def comparison_of(arm: ArmResult, scope: str, part: str = "", metric: str = "token_weighted") -> Comparison:
    (found,) = (c for c in arm.comparisons if (c.scope, c.part, c.metric) == (scope, part, metric))
    return found


def test_a_better_arm_is_found_and_an_equal_one_is_not_distinguishable(tmp_path: Path) -> None:
    write_trial(tmp_path)
    results = trial_results(PLAN, tmp_path, HELD_OUT)
    top, longest = arm_of(results, "top"), arm_of(results, "longest")
    assert (top.runs, top.random_runs, top.planned_runs) == (3, 15, 3)
    assert top.verdict == "better than random"
    assert top.difference is not None
    assert top.difference.low < -0.3 * (1 - ROWS / TOKENS.sum()) < top.difference.high
    assert top.holm_p == pytest.approx(2 * top.difference.p)
    assert longest.verdict == "not distinguishable from random"
    assert results.baseline == "random"
    assert [arm.arm for arm in results.arms] == ["top", "longest"]


def test_the_sentences_say_what_was_compared_and_never_more(tmp_path: Path) -> None:
    write_trial(tmp_path)
    found = trial_results(PLAN, tmp_path, HELD_OUT).sentences
    assert found[0] == "Token-weighted held-out loss of arms minus that of random, on 60 rows (990 tokens)."
    assert found[1].startswith("top: better than random, for this base, budget and held-out set: 3 runs against 15, ")
    assert " nats per token [-0." in found[1]
    assert found[2].startswith("longest: not distinguishable from random, for this base")
    assert found[2].endswith(" would have been found 80 times in 100.")
    assert len(found) == 3
    assert "better data" not in " ".join(found)


def test_slices_are_domains_and_thirds_of_length_under_every_metric(tmp_path: Path) -> None:
    def only_math(table: pd.DataFrame) -> pd.DataFrame:
        math = table["example_id"].isin(HELD_OUT["example_id"][HELD_OUT["domain"] == "math"])
        return table.assign(nll_sum=table["nll_sum"] - 0.5 * math * (table["token_count"] - 1))

    for cell in write_trial(tmp_path):
        if cell.arm == "longest":
            write_cell(tmp_path, cell, 0.0, only_math)
    longest = arm_of(trial_results(PLAN, tmp_path, HELD_OUT), "longest")
    math = comparison_of(longest, "domain", "math", "token_weighted_without_end")
    assert (math.rows, math.loss - math.random_loss) == (20, pytest.approx(-0.5, abs=0.03))
    chat = comparison_of(longest, "domain", "chat").difference
    assert chat is not None
    assert chat.low < 0 < chat.high
    lengths = [c.part for c in longest.comparisons if c.scope == "length" and c.metric == "row_weighted"]
    assert lengths == ["short (2 to 11 tokens)", "medium (12 to 21 tokens)", "long (22 to 31 tokens)"]
    assert len(longest.comparisons) == 4 * (1 + 2 + 3)


def test_each_metric_is_as_computed_by_hand(tmp_path: Path) -> None:
    write_trial(tmp_path)
    runs = [pd.read_parquet(path).set_index("example_id") for path in sorted(tmp_path.glob("cells/top*.parquet"))]
    top = arm_of(trial_results(PLAN, tmp_path, HELD_OUT), "top")
    expected = {
        "token_weighted": [run["nll_sum"].sum() / TOKENS.sum() for run in runs],
        "row_weighted": [(run["nll_sum"] / run["token_count"]).mean() for run in runs],
        "token_weighted_without_end": [(run["nll_sum"] - 0.5).sum() / (TOKENS - 1).sum() for run in runs],
        "row_weighted_without_end": [((run["nll_sum"] - 0.5) / (run["token_count"] - 1)).mean() for run in runs],
    }
    for metric, losses in expected.items():
        assert comparison_of(top, "overall", metric=metric).loss == pytest.approx(np.mean(losses)), metric


def test_without_losses_of_the_end_of_turn_the_other_metrics_are_there(tmp_path: Path) -> None:
    for cell in write_trial(tmp_path):
        if cell.seed == 1:
            write_cell(tmp_path, cell, 0.0, lambda table: table.assign(end_nll_sum=None, end_token_count=None))
    top = arm_of(trial_results(PLAN, tmp_path, HELD_OUT), "top")
    assert {c.metric for c in top.comparisons} == {"token_weighted", "row_weighted"}
    planned = replace(PLAN, metric="row_weighted_without_end")
    with pytest.raises(TrialInvalid, match="leaves out the end-of-turn"):
        trial_results(planned, tmp_path, HELD_OUT)


def test_an_incomplete_trial_shows_what_is_there_and_counts_what_is_missing(tmp_path: Path) -> None:
    assert trial_results(PLAN, tmp_path, HELD_OUT).sentences[1:] == (
        "Incomplete: 21 of 21 runs are missing.",
        "top: no runs of top yet.",
        "longest: no runs of longest yet.",
    )
    planned = write_trial(tmp_path)
    for cell in planned:
        if cell.seed == 3 and cell.arm != "random":
            (tmp_path / "cells" / f"{cell.name}.json").unlink()
    results = trial_results(PLAN, tmp_path, HELD_OUT)
    top = arm_of(results, "top")
    assert (top.verdict, top.objection) == (None, "too few runs for a verdict: 2 of at least 3")
    assert top.difference is not None
    assert results.missing_cells == ("top.d1.s3", "longest.d1.s3")
    assert "Incomplete: 2 of 21 runs are missing." in results.sentences
    assert "top: too few runs for a verdict: 2 of at least 3." in results.sentences


def test_a_planned_arm_without_runs_counts_in_holms_correction(tmp_path: Path) -> None:
    for cell in write_trial(tmp_path):
        if cell.arm == "longest":
            (tmp_path / "cells" / f"{cell.name}.json").unlink()
    top = arm_of(trial_results(PLAN, tmp_path, HELD_OUT), "top")
    assert top.difference is not None
    assert top.holm_p == pytest.approx(2 * top.difference.p)


def test_an_exploratory_arm_changes_no_verdict_of_the_planned_ones(tmp_path: Path) -> None:
    plan = PLAN.with_exploratory(Arm("lowest", "lowest-score"))
    write_trial(tmp_path, plan)
    before, after = trial_results(PLAN, tmp_path, HELD_OUT), trial_results(plan, tmp_path, HELD_OUT)
    assert [arm.holm_p for arm in after.arms[:2]] == [arm.holm_p for arm in before.arms]
    assert any(
        sentence.startswith("lowest (exploratory, added after the plan was fixed): ") for sentence in after.sentences
    )


def test_the_curve_has_a_band_at_each_ratio_and_arms_without_one_are_beside_random_at_all(tmp_path: Path) -> None:
    outside = Arm("theirs", "outside", models=("a", "b", "c"))
    plan = replace(PLAN, arms=(*PLAN.arms[:2], outside), ratios=(0.06, 0.3))
    write_trial(tmp_path, plan)
    results = trial_results(plan, tmp_path, HELD_OUT)
    points = [(point.arm, point.ratio, point.runs) for point in results.curve]
    assert points == [
        ("top", 0.06, 3),
        ("top", 0.3, 3),
        ("random", 0.06, 15),
        ("random", 0.3, 15),
        ("theirs", None, 3),
    ]
    assert all(point.low is not None and point.low < point.loss for point in results.curve)
    assert [arm.ratio for arm in results.arms if arm.arm == "theirs"] == [0.06, 0.3]
    assert any(sentence.startswith("top at 6 %: better than random") for sentence in results.sentences)


def test_results_are_json(tmp_path: Path) -> None:
    write_trial(tmp_path)
    results = trial_results(PLAN, tmp_path, HELD_OUT)
    fields = json.loads(json.dumps(results.to_fields(), allow_nan=False))
    assert fields["arms"][0]["verdict"] == "better than random"
    assert fields["arms"][0]["comparisons"][0]["difference"]["value"] < 0
    assert (fields["runs"][0]["cell"], fields["runs"][0]["input_tokens"]) == ("top.d1.s1", 10_000)
    assert fields["fingerprint"] == PLAN.fingerprint


def test_rows_without_a_loss_and_models_without_any_are_left_out_and_counted(tmp_path: Path) -> None:
    planned = write_trial(tmp_path)
    write_cell(tmp_path, planned[0], -0.3, lambda table: table.assign(nll_sum=np.nan))
    missing = HELD_OUT["example_id"][:4]
    write_cell(tmp_path, planned[1], -0.3, lambda table: table[~table["example_id"].isin(missing)])
    results = trial_results(PLAN, tmp_path, HELD_OUT)
    assert (results.rows, results.skipped_rows, results.failed_cells) == (56, 4, ("top.d1.s1",))
    assert "Runs without a finite loss, left out: top.d1.s1." in results.sentences
    assert "Held-out rows left out, since not every run has a loss for them: 4." in results.sentences
    assert arm_of(results, "top").runs == 2


def test_runs_that_did_not_use_the_planned_budget_are_named(tmp_path: Path) -> None:
    planned = write_trial(tmp_path)
    write_cell(tmp_path, planned[0], -0.3, input_tokens=8000)
    found = trial_results(PLAN, tmp_path, HELD_OUT).sentences
    assert "top did not train on the planned 10,000 input tokens: 8,000 to 10,000." in found


def test_what_does_not_fit_is_refused_in_one_sentence(tmp_path: Path) -> None:
    first, second, *_ = write_trial(tmp_path)
    write_cell(tmp_path, first, 0.0, lambda table: table.assign(token_count=table["token_count"] + 1))
    with pytest.raises(TrialInvalid, match="scored other tokens"):
        trial_results(PLAN, tmp_path, HELD_OUT)
    write_cell(tmp_path, first, 0.0, seed=9)
    with pytest.raises(TrialInvalid, match="is the result of another cell"):
        trial_results(PLAN, tmp_path, HELD_OUT)
    write_cell(tmp_path, first, 0.0)
    with pytest.raises(TrialInvalid, match="have none of these held-out rows"):
        trial_results(PLAN, tmp_path, HELD_OUT.assign(example_id=HELD_OUT["example_id"] + "?"))
    write_cell(tmp_path, first, 0.0, lambda table: table[table["example_id"] < "row 30"])
    write_cell(tmp_path, second, 0.0, lambda table: table[table["example_id"] >= "row 30"])
    with pytest.raises(TrialInvalid, match="No held-out row has a loss under every model"):
        trial_results(PLAN, tmp_path, HELD_OUT)
    (tmp_path / "cells" / f"{first.name}.json").write_text("{")
    with pytest.raises(TrialInvalid, match="cannot be read"):
        trial_results(PLAN, tmp_path, HELD_OUT)
    (tmp_path / "cells" / f"{first.name}.parquet").write_text("no parquet")
    with pytest.raises(TrialInvalid, match="cannot be read"):
        trial_results(PLAN, tmp_path, HELD_OUT)
