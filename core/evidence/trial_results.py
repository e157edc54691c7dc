"""The results of a trial: each arm beside random, overall and by slices of the held-out rows, with a verdict.

Verdicts rest on the planned metric over all held-out rows, adjusted by Holm over the arms and ratios. Slices and other
metrics have intervals and no verdict: with many of them, some differ by chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.errors import TrialInvalid
from .arm_kinds import ARMS, METRICS, Metric
from .cell_results import CellResult, HeldOutLosses, held_out_losses, read_cells
from .result_fields import ArmResult, Comparison, CurvePoint, RunResult, TrialResults
from .result_sentences import arm_sentence, trial_sentences
from .trial import Arm, Cell, TrialPlan, cells
from .trial_statistics import ArmLosses, difference_from_random, held_out_loss, holm, loss_band, too_few_runs, verdict

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Slice:
    """Some of the held-out rows."""

    scope: str
    part: str
    mask: Mask


def trial_results(plan: TrialPlan, folder: Path, held_out: pd.DataFrame) -> TrialResults:
    """The results in a trial's folder, as far as there are. `held_out`: example_id, domain and group of each held-out
    row (near-duplicates share a group; missing: a group of its own). Raises `TrialInvalid` for results that do not fit.
    """
    found = read_cells(plan, folder)
    losses = held_out_losses(found, held_out)
    compared = [(arm, ratio) for arm in plan.arms if arm != plan.baseline for ratio in plan.ratios]
    planned = list(cells(plan))
    results = TrialResults(
        trial=plan.name,
        fingerprint=plan.fingerprint,
        metric=plan.metric,
        baseline=plan.baseline.name,
        rows=len(losses.rows),
        tokens=int(losses.rows["token_count"].sum()),
        skipped_rows=losses.skipped_rows,
        planned_cells=len(planned),
        missing_cells=tuple(cell.name for cell in planned if cell not in found),
        failed_cells=tuple(cell.name for cell in losses.failed),
        arms=_with_verdicts([_arm_result(plan, arm, ratio, losses) for arm, ratio in compared]),
        curve=tuple(_curve(plan, losses)),
        runs=tuple(_run_result(plan, cell, found[cell], losses) for cell in losses.nll_sum),
    )
    return replace(results, sentences=tuple(trial_sentences(plan, results)))


def _arm_result(plan: TrialPlan, arm: Arm, ratio: float | None, losses: HeldOutLosses) -> ArmResult:
    own_ratio = ratio if ratio in plan.ratios_of(arm) else None
    mine, random = _cells_of(losses, arm, own_ratio), _cells_of(losses, plan.baseline, ratio)
    planned_runs = sum(cell.arm == arm.name and cell.ratio == own_ratio for cell in cells(plan))
    result = ArmResult(arm.name, arm.kind, ratio, arm.exploratory, len(mine), len(random), planned_runs)
    if not mine or not random:
        return replace(result, objection=f"no runs of {plan.baseline.name if mine else arm.name} yet")

    def arms_on(part: _Slice, metric: Metric) -> tuple[ArmLosses, ArmLosses]:
        return _arm_losses(plan, losses, mine, metric, part.mask), _arm_losses(plan, losses, random, metric, part.mask)

    slices, metrics = list(_slices(losses.rows)), _metrics(plan, losses)
    compared = [(part, metric, *arms_on(part, metric)) for part in slices for metric in metrics]
    comparisons = [_comparison(part, metric, *arms) for part, metric, *arms in compared if arms[0].token_count.size]
    objection = too_few_runs(*arms_on(slices[0], metrics[0]), plan.minimum_runs)
    if not objection and not comparisons[0].difference:
        objection = "no verdict: the held-out rows are one group of near-duplicates"
    return replace(result, comparisons=tuple(comparisons), objection=objection)


def _comparison(part: _Slice, metric: Metric, arm: ArmLosses, random: ArmLosses) -> Comparison:
    return Comparison(
        scope=part.scope,
        part=part.part,
        metric=metric.name,
        rows=len(arm.token_count),
        loss=held_out_loss(arm, metric.by_row),
        random_loss=held_out_loss(random, metric.by_row),
        difference=difference_from_random(arm, random, metric.by_row),
    )


def _with_verdicts(arms: Sequence[ArmResult]) -> tuple[ArmResult, ...]:
    """The arms with adjusted p values, verdicts and sentences. Planned arms without enough runs yet count as
    comparisons too (p = 1), so that no verdict rests on fewer than planned; exploratory arms are adjusted for all arms
    and do not count for the planned ones."""
    counted = [arm.difference.p if arm.difference and not arm.objection else 1.0 for arm in arms]
    planned = [number for number, arm in enumerate(arms) if not arm.exploratory]
    adjusted = dict(enumerate(holm(counted)))
    adjusted |= dict(zip(planned, holm([counted[number] for number in planned]), strict=True))
    found = []
    for arm, p in zip(arms, adjusted.values(), strict=True):
        if arm.difference and not arm.objection:
            arm = replace(arm, holm_p=p, verdict=verdict(arm.difference.value, p))
        found.append(replace(arm, sentence=arm_sentence(arm)))
    return tuple(found)


def _curve(plan: TrialPlan, losses: HeldOutLosses) -> Iterator[CurvePoint]:
    for arm in plan.arms:
        for ratio in plan.ratios_of(arm):
            if mine := _cells_of(losses, arm, ratio):
                band = loss_band(_planned_losses(plan, losses, mine), METRICS[plan.metric].by_row)
                yield CurvePoint(arm.name, ratio, len(mine), band.loss, band.low, band.high)


def _run_result(plan: TrialPlan, cell: Cell, result: CellResult, losses: HeldOutLosses) -> RunResult:
    loss = held_out_loss(_planned_losses(plan, losses, [cell]), METRICS[plan.metric].by_row)
    return RunResult(cell.name, cell.arm, cell.ratio, cell.draw, cell.seed, loss, **result.measured)


def _cells_of(losses: HeldOutLosses, arm: Arm, ratio: float | None) -> list[Cell]:
    return [cell for cell in losses.nll_sum if cell.arm == arm.name and cell.ratio == ratio]


def _planned_losses(plan: TrialPlan, losses: HeldOutLosses, mine: Sequence[Cell]) -> ArmLosses:
    metric = _metrics(plan, losses)[0]
    return _arm_losses(plan, losses, mine, metric, np.ones(len(losses.rows), bool))


def _arm_losses(plan: TrialPlan, losses: HeldOutLosses, mine: Sequence[Cell], metric: Metric, mask: Mask) -> ArmLosses:
    """The losses of an arm's cells on some of the rows. Runs of a random arm that share their rows are a cluster; of
    other arms each run varies by itself."""
    sums = np.array([losses.nll_sum[cell] for cell in mine])
    tokens = losses.rows["token_count"].to_numpy()
    if not metric.end_of_turn:
        sums = sums - np.array([losses.end_nll_sum[cell] for cell in mine])
        tokens = tokens - losses.rows["end_token_count"].to_numpy()
    mask = mask & (tokens > 0)
    drawn = ARMS[plan.arm(mine[0].arm).kind].random
    cluster = np.array([cell.draw if drawn else number for number, cell in enumerate(mine)])
    return ArmLosses(sums[:, mask], tokens[mask], losses.rows["group"].to_numpy()[mask], cluster)


def _metrics(plan: TrialPlan, losses: HeldOutLosses) -> list[Metric]:
    """The metrics that the losses allow, the planned one first."""
    planned = METRICS[plan.metric]
    beside_end = bool(losses.end_nll_sum) and (losses.rows["token_count"] > losses.rows["end_token_count"]).any()
    if not planned.end_of_turn and not beside_end:
        raise TrialInvalid(
            "The trial's metric leaves out the end-of-turn, but not every cell has its loss. Evaluate the cells again."
        )
    others = (metric for metric in METRICS.values() if metric != planned)
    return [planned, *(metric for metric in others if metric.end_of_turn or beside_end)]


def _slices(rows: pd.DataFrame) -> Iterator[_Slice]:
    """All rows, each domain, and thirds by response length, as far as lengths differ."""
    yield _Slice("overall", "", np.ones(len(rows), bool))
    for domain in sorted(rows["domain"].unique()):
        yield _Slice("domain", str(domain), (rows["domain"] == domain).to_numpy())
    tokens = rows["token_count"].to_numpy()
    third = np.searchsorted(np.quantile(tokens, [1 / 3, 2 / 3], method="lower"), tokens)
    for number, name in enumerate(("short", "medium", "long")):
        mask = third == number
        if mask.any():
            low, high = tokens[mask].min(), tokens[mask].max()
            yield _Slice("length", f"{name} ({low:,} to {high:,} tokens)", mask)
