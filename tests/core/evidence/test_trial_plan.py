"""The plan of a trial: through JSON and back, refused where it is invalid or was changed, and its cells."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from core.data.errors import TrialInvalid
from core.evidence.arm_kinds import ARMS
from core.evidence.trial import Arm, TrialBudget, TrialPlan, TrialTraining, cells
from core.selection import Amount, Selection

TOP = Arm("top", "selection", Selection("first", amount=Amount("ratio", 0.1)))
RANDOM = Arm("random", "random-by-domain")
PLAN = TrialPlan("tenth", "first", (TOP, RANDOM), TrialBudget(10_000), created_at="2026-11-29T10:00:00+00:00")

Change = Callable[[dict[str, Any]], object]


def test_a_plan_goes_through_json_and_back() -> None:
    outside = Arm("theirs", "outside", models=("a", "b"))
    plan = replace(PLAN, arms=(*PLAN.arms, outside), ratios=(0.06, 1), training=TrialTraining("full", 1e-5))
    fields = json.loads(json.dumps(plan.to_fields()))
    assert fields["version"] == 1
    assert TrialPlan.from_fields(fields) == plan


def test_the_defaults_are_five_draws_of_three_seeds_at_equal_input_tokens() -> None:
    plan = TrialPlan.from_fields(
        {
            "name": "t",
            "run": "first",
            "budget": {"value": 1e4},
            "arms": [
                {"name": "top", "kind": "selection", "recipe": {"run": "first"}},
                {"name": "r", "kind": "random"},
            ],
        }
    )
    assert (plan.budget.kind, plan.budget.value, plan.metric) == ("input_tokens", 10_000, "token_weighted")
    assert (plan.ratios, plan.minimum_runs) == ((None,), 3)
    counts = {arm.name: sum(cell.arm == arm.name for cell in cells(plan)) for arm in plan.arms}
    assert counts == {"top": 3, "r": 15}


def test_what_was_decided_has_a_fingerprint_and_a_changed_plan_is_refused() -> None:
    assert replace(PLAN, created_at="").fingerprint == PLAN.fingerprint
    assert replace(PLAN, seeds=(1, 2, 4)).fingerprint != PLAN.fingerprint
    changed = PLAN.to_fields() | {"metric": "row_weighted"}
    with pytest.raises(TrialInvalid, match="was changed after it was fixed"):
        TrialPlan.from_fields(changed)


def test_an_arm_added_later_is_exploratory_and_leaves_the_plan_as_it_was() -> None:
    later = PLAN.with_exploratory(Arm("longest", "longest"))
    assert later.fingerprint == PLAN.fingerprint
    assert [arm.exploratory for arm in later.arms] == [False, False, True]
    assert TrialPlan.from_fields(later.to_fields()) == later
    with_random = PLAN.with_exploratory(Arm("another", "random-by-domain"))
    assert with_random.baseline == RANDOM


def test_all_are_compared_with_the_random_kind_that_comes_first_in_the_table() -> None:
    arms = (TOP, Arm("by-length", "length-matched-random"), Arm("any", "random"), RANDOM)
    assert replace(PLAN, arms=arms).baseline == RANDOM
    assert replace(PLAN, arms=arms[:3]).baseline.name == "any"


def test_cells_have_stable_names_that_are_safe_for_files() -> None:
    arms = (TOP, replace(RANDOM, draws=2), Arm("all", "all"), Arm("theirs", "outside", models=("m",)))
    names = [cell.name for cell in cells(replace(PLAN, arms=arms, ratios=(0.06, 0.1), seeds=(7,)))]
    assert names == [
        "top.r0.06.d1.s7",
        "top.r0.1.d1.s7",
        "random.r0.06.d1.s7",
        "random.r0.06.d2.s7",
        "random.r0.1.d1.s7",
        "random.r0.1.d2.s7",
        "all.d1.s7",
        "theirs.d1",
    ]
    assert next(cells(PLAN)).name == "top.d1.s1"


def test_every_kind_of_arm_can_be_planned() -> None:
    arms = tuple(
        Arm(kind, kind, TOP.recipe if kind == "selection" else None, models=("m",) * (kind == "outside"))
        for kind in ARMS
    )
    plan = replace(PLAN, arms=arms)
    assert {arm.kind for arm in plan.arms if arm.draws == 5} == {"random", "random-by-domain", "length-matched-random"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.update(version=2), "has version 2"),
        (lambda f: f.update(sedes=[1]), "unknown fields: sedes"),
        (lambda f: f.pop("budget"), "lacks: budget"),
        (lambda f: f.update(name=" "), "has no name"),
        (lambda f: f.update(metric="accuracy"), "Unknown metric 'accuracy'. Must be one of: token_weighted"),
        (lambda f: f.update(seeds=[1, 1]), "none twice"),
        (lambda f: f.update(seeds=[True]), "seeds.0 is True. It should be a valid integer"),
        (lambda f: f.update(seeds=3), "seeds is 3. It should be a valid array"),
        (lambda f: f.update(ratios=[0.1, 2]), "Give shares such as 0.06"),
        (lambda f: f.update(ratios=[0.1, None]), "Give shares such as 0.06"),
        (lambda f: f.update(ratios=[[]]), r"ratios.0 is \[\]. It should be a valid number"),
        (lambda f: f.update(minimum_runs=2), "Give at least 3"),
        (lambda f: f.update(created_at="yesterday"), "not a date"),
        (lambda f: f["budget"].update(value=0), "above 0"),
        (lambda f: f["budget"].update(kind="passes", value=1e6), "Give at most 10,000"),
        (lambda f: f["budget"].update(value=1.5), "a whole number above 0"),
        (lambda f: f["budget"].update(kind="steps"), "Unknown budget 'steps'"),
        (lambda f: f.update(budget=7), "budget is 7. It should be an object"),
        (
            lambda f: f["training"].update(learning_rate=float("nan")),
            "training.learning_rate is nan. It should be a valid number",
        ),
        (lambda f: f["training"].update(method="dpo"), "Unknown training method"),
        (lambda f: f["arms"].pop(), "has no random arm"),
        (lambda f: f["arms"].append(f["arms"][0]), "none twice"),
        (lambda f: f["arms"].append({"name": "a/b", "kind": "all"}), "not a valid arm name"),
        (lambda f: f["arms"].append({"name": "a", "kind": "best"}), "Unknown kind of arm"),
        (lambda f: f["arms"].append({"name": "a", "kind": "longest", "draws": 2}), "is not random"),
        (lambda f: f["arms"].append({"name": "a", "kind": "random", "draws": -1}), "1 to 1,000 draws"),
        (lambda f: f["arms"].append({"name": "a", "kind": "outside"}), "1 to 1,000 draws, or models"),
        (lambda f: f["arms"].append({"name": "a", "kind": "selection"}), "has no recipe"),
        (lambda f: f["arms"][0]["recipe"].update(run="second"), "selects from the run 'second'"),
        (lambda f: f["arms"][0]["recipe"].update(order="best"), "recipe of the arm 'top' is invalid"),
        (lambda f: f["arms"].pop(0), "has no selection to match"),
    ],
)
def test_an_invalid_plan_is_refused_in_one_sentence(change: Change, message: str) -> None:
    fields = json.loads(json.dumps(PLAN.to_fields()))
    change(fields)
    with pytest.raises(TrialInvalid, match=message):
        TrialPlan.from_fields(fields)


def test_what_is_no_object_is_no_plan() -> None:
    with pytest.raises(TrialInvalid, match="lacks: name"):
        TrialPlan.from_fields([])
