"""What trials say of one selection: the verdict of the newest trial that compared it, or one like it, with random."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..data.errors import TrialInvalid, UserError
from ..selection import Selection
from .arms import at_ratio
from .result_fields import ArmResult
from .result_sentences import named_arm
from .trial_folder import Trial, load_trial, trial_names

NO_TRIAL = "No trial has compared this selection with random yet."


@dataclass(frozen=True, slots=True)
class SelectionEvidence:
    """A trial's verdict on an arm. `same_recipe`: the arm is this selection; else it has its score and order.
    `verdict`: None if there is none yet, as `sentence` says."""

    trial: str
    fingerprint: str
    arm: str
    ratio: float | None
    same_recipe: bool
    verdict: str | None
    sentence: str

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return asdict(self)


def selection_evidence(workspace: Path, selection: Selection) -> SelectionEvidence | None:
    """The verdict of the newest trial of its run that has this recipe as an arm, else of the newest with one of the
    same score and order (of several ratios, the nearest). Raises `TrialInvalid` for files that do not fit."""
    trials = trials_of_run(workspace, selection.run)
    for same_recipe in (True, False):
        for trial in trials:
            tried = list(_tried(trial, selection, same_recipe))
            if tried:
                return _evidence(trial, min(tried, key=lambda arm: _distance(arm, selection)), same_recipe)
    return None


def evidence_fields(workspace: Path, selection: Selection) -> dict[str, Any] | None:
    """`selection_evidence` as JSON fields; None too if a trial's files do not fit, so that they hinder no export."""
    try:
        found = selection_evidence(workspace, selection)
    except UserError:
        return None
    return found.to_fields() if found else None


def trials_of_run(workspace: Path, run: str) -> list[Trial]:
    """The trials that were planned for a run, newest first; damaged ones are left out, `trial show` says why."""
    mine = []
    for name in trial_names(workspace):
        with suppress(TrialInvalid):
            trial = load_trial(workspace, name)
            if trial.plan.run == run:
                mine.append(trial)
    return sorted(mine, key=lambda trial: (trial.plan.created_at, trial.name), reverse=True)


def _tried(trial: Trial, selection: Selection, same_recipe: bool) -> Iterator[ArmResult]:
    """Results of the trial's selections that are this one, or like it."""
    for result in trial.results().arms:
        recipe = trial.plan.arm(result.arm).recipe
        if result.kind != "selection" or recipe is None:
            continue
        alike = (recipe.score, recipe.order) == (selection.score, selection.order)
        if at_ratio(recipe, result.ratio) == selection if same_recipe else alike:
            yield result


def _distance(arm: ArmResult, selection: Selection) -> float:
    """How far the arm's ratio is from the selection's; 0 where either has none."""
    if arm.ratio is None or selection.amount.kind != "ratio":
        return 0.0
    return abs(arm.ratio - selection.amount.value)


def _evidence(trial: Trial, arm: ArmResult, same_recipe: bool) -> SelectionEvidence:
    name = named_arm(arm.arm, arm.ratio)
    which = f"this recipe ({name})" if same_recipe else f"a recipe of the same score and order ({name})"
    sentence = f"Trial {trial.name!r} compared {which}: {arm.sentence}."
    return SelectionEvidence(trial.name, trial.plan.fingerprint, arm.arm, arm.ratio, same_recipe, arm.verdict, sentence)
