"""A trial's results in plain sentences, which claim no more than was measured."""

from collections.abc import Iterator

from .arm_kinds import METRICS
from .result_fields import ArmResult, TrialResults
from .trial import TrialPlan
from .trial_statistics import LEVEL, NOT_DISTINGUISHABLE, verdict_sentence

_EQUAL_TO = 0.05  # share by which token budgets of arms may differ before it is said


def arm_sentence(arm: ArmResult) -> str:
    """The verdict on one arm with its evidence, or why there is none."""
    found = arm.difference
    if arm.verdict is None or found is None:
        return arm.objection or "no verdict"
    sentence = verdict_sentence(arm.verdict, found)
    if arm.verdict != NOT_DISTINGUISHABLE:
        return sentence
    if found.p <= 1 - LEVEL:
        sentence += f"; alone p = {found.p:.3f}, adjusted for all arms {arm.holm_p:.3f} (Holm)"
    return f"{sentence}; a difference of {found.smallest_visible:.3f} would have been found 80 times in 100"


def trial_sentences(plan: TrialPlan, results: TrialResults) -> Iterator[str]:
    """What the trial compared, what is missing, and a sentence for each arm and ratio."""
    yield (
        f"{METRICS[results.metric].label} of arms minus that of {results.baseline}, on {results.rows:,} rows "
        f"({results.tokens:,} tokens)."
    )
    if results.missing_cells:
        yield f"Incomplete: {len(results.missing_cells):,} of {results.planned_cells:,} runs are missing."
    if results.failed_cells:
        yield f"Runs without a finite loss, left out: {', '.join(results.failed_cells)}."
    if results.skipped_rows:
        yield f"Held-out rows left out, since not every run has a loss for them: {results.skipped_rows:,}."
    yield from _unequal_budgets(plan, results)
    yield from _repeated_rows(results)
    for arm in results.arms:
        exploratory = " (exploratory, added after the plan was fixed)" if arm.exploratory else ""
        yield f"{named_arm(arm.arm, arm.ratio)}{exploratory}: {arm.sentence}."


def named_arm(arm: str, ratio: float | None) -> str:
    """An arm at a ratio of the rows, for a person."""
    return arm if ratio is None else f"{arm} at {100 * ratio:g} %"


def _repeated_rows(results: TrialResults) -> Iterator[str]:
    """Arms with fewer tokens than the budget, which trained on their rows more than once."""
    passes: dict[str, float] = {}
    for run in results.runs:
        name = named_arm(run.arm, run.ratio)
        passes[name] = max(passes.get(name, 0), run.passes or 0)
    repeated = [f"{name} ({count:.1f} passes)" for name, count in passes.items() if count > 1 + _EQUAL_TO]
    if repeated:
        yield f"Trained on their rows more than once to use the budget: {', '.join(repeated)}."


def _unequal_budgets(plan: TrialPlan, results: TrialResults) -> Iterator[str]:
    """Arms whose runs did not train on the planned tokens."""
    if plan.budget.kind == "passes":
        return
    unit = plan.budget.kind.replace("_", " ")
    for arm in plan.arms:
        used = [getattr(run, plan.budget.kind) for run in results.runs if run.arm == arm.name]
        tokens = [count for count in used if count is not None]
        if tokens and max(abs(count / plan.budget.value - 1) for count in tokens) > _EQUAL_TO:
            yield (
                f"{arm.name} did not train on the planned {plan.budget.value:,} {unit}: "
                f"{min(tokens):,.0f} to {max(tokens):,.0f}."
            )
