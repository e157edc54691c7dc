"""What trials say of a selection: the same recipe first, then one of the same score and order, newest first."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.evidence import Arm
from core.evidence.selection_evidence import evidence_fields, selection_evidence, trials_of_run
from core.selection import Amount, Selection
from core.store import Store
from tests.trial_files import plan_of, write_trial

TENTH = Selection("planets", amount=Amount("ratio", 0.1))
RANDOM = Arm("random", "random-by-domain")


@pytest.fixture
def workspace(scored_store: Store) -> Path:
    """Three trials: of the tenth, of the longest rows, and a newer one of the tenth at two shares."""
    longest = Arm("long", "selection", Selection("planets", order="longest"))
    write_trial(scored_store, plan_of("planets"), {"top": -0.3})
    write_trial(scored_store, plan_of("planets", "long", arms=(longest, RANDOM), created_at="2026-11-29T11:00:00"))
    shares = plan_of("planets", "shares", ratios=(0.2, 0.6), created_at="2026-11-29T12:00:00")
    write_trial(scored_store, shares, {"top": -0.3}, done=1)
    return scored_store.workspace


def test_the_trial_that_has_this_recipe_comes_before_newer_ones_that_are_like_it(workspace: Path) -> None:
    found = selection_evidence(workspace, TENTH)
    assert found is not None
    assert (found.trial, found.arm, found.ratio, found.same_recipe) == ("tenth", "top", None, True)
    assert found.verdict == "better than random"
    assert found.sentence.startswith("Trial 'tenth' compared this recipe (top): better than random, for this base")
    assert evidence_fields(workspace, TENTH) == found.to_fields()


def test_a_share_of_a_trial_is_a_recipe_and_else_the_nearest_share_counts(workspace: Path) -> None:
    exact = selection_evidence(workspace, replace(TENTH, amount=Amount("ratio", 0.6)))
    near = selection_evidence(workspace, replace(TENTH, amount=Amount("ratio", 0.5)))
    assert exact is not None
    assert near is not None
    assert (exact.trial, exact.ratio, exact.same_recipe) == ("shares", 0.6, True)
    assert (near.trial, near.ratio, near.same_recipe, near.verdict) == ("shares", 0.6, False, None)
    assert "a recipe of the same score and order (top at 60 %): no runs of" in near.sentence


def test_another_score_or_run_has_no_evidence(workspace: Path) -> None:
    assert selection_evidence(workspace, replace(TENTH, score="base_loss")) is None
    assert selection_evidence(workspace, replace(TENTH, run="stars")) is None


def test_a_damaged_trial_hinders_no_other(workspace: Path) -> None:
    (workspace / "trials" / "shares" / "trial.json").write_text("{")
    assert [trial.name for trial in trials_of_run(workspace, "planets")] == ["long", "tenth"]
    (workspace / "trials" / "tenth" / "cells" / "top.d1.s1.json").write_text("{")
    assert evidence_fields(workspace, TENTH) is None
