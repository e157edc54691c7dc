"""The trials of a run in its report: plan, verdicts, forest plot, curve and all runs."""

from collections.abc import Iterator

import pandas as pd

from core.evidence import ARMS, BUDGET_KINDS, METRICS
from core.evidence.result_fields import ArmResult, TrialResults
from core.evidence.trial import TrialPlan
from core.evidence.verdicts import Verdict
from core.workspace.run_report import ReportedTrial
from ui.charts.trial_charts import arms_table, curve_table, forest_figure, ratio_curve_figure
from ui.report.evidence_section import verdict_card
from ui.report.figures import figure_html
from ui.report.markup import MISSING, Html, facts, folded, paragraphs, table, tag

_ARMS = {
    "arm": "Arm",
    "ratio": "Selected",
    "runs": "Runs",
    "loss": "Loss",
    "random_loss": "Random's loss",
    "difference": "Difference",
    "interval": "95 % interval",
    "holm_p": "p (Holm)",
    "smallest_visible": "Smallest visible",
    "verdict": "Verdict",
}
_SLICES = {
    "arm": "Arm",
    "ratio": "Selected",
    "rows_of": "Held-out rows",
    "metric": "Metric",
    "rows": "Rows",
    "loss": "Loss",
    "random_loss": "Random's loss",
    "difference": "Difference",
    "interval": "95 % interval",
}
_RUNS = {
    "cell": "Model",
    "arm": "Arm",
    "draw": "Draw",
    "seed": "Seed",
    "loss": "Loss",
    "steps": "Steps",
    "input_tokens": "Input tokens",
    "scored_tokens": "Scored tokens",
    "seconds": "Seconds",
}


def trials_section(trials: list[ReportedTrial], verdict: Verdict) -> Html:
    """All trials; without one, the `verdict` on trials alone."""
    shown = [_trial(trial) for trial in trials]
    return tag("section", tag("h2", f"Trials: {verdict.question[0].lower()}{verdict.question[1:]}"),
               *(shown or [verdict_card(verdict)]))  # fmt: skip


def _trial(trial: ReportedTrial) -> Html:
    parts = [tag("h3", trial.name)]
    if trial.objection:
        parts.append(tag("p", trial.objection, class_="verdict caution"))
    if trial.results is not None:
        parts += _results(trial.results)
    if trial.plan is not None:
        parts += [tag("h4", "Plan, fixed before the first model was trained"), facts(_plan_facts(trial, trial.plan))]
        parts.append(_arms_of_plan(trial.plan))
    return tag("section", *parts, class_="card")


def _results(results: TrialResults) -> list[Html]:
    parts = [paragraphs(results.sentences)]
    drawn = arms_table(results, "overall", "", results.metric, judged=True).dropna(subset=["difference"])
    if len(drawn):
        where = f"All held-out rows; {METRICS[results.metric].label.lower()}"
        parts.append(figure_html(forest_figure(drawn, results.baseline, where)))
    if results.arms:
        note = (
            "Loss and differences in nats per token; negative: less loss than random. Smallest visible: the difference "
            "that such a trial finds in 80 of 100 repetitions."
        )
        parts.append(table(_arms(results.arms), _ARMS, note))
    curve = curve_table(results)
    if curve["ratio"].nunique() > 1:
        points = pd.DataFrame(
            [(point.arm, point.ratio, point.runs, point.loss, _interval(point.low, point.high))
             for point in results.curve],
            columns=["arm", "share_selected", "runs", "loss", "interval"],
        )  # fmt: skip
        labels = {"arm": "Arm", "share_selected": "Selected", "runs": "Runs", "loss": "Loss", "interval": "95 % band"}
        parts += [
            figure_html(ratio_curve_figure(curve, list(dict.fromkeys(curve["arm"])), results.baseline)),
            table(points, labels),
        ]
    slices = pd.DataFrame(list(_slices(results.arms)), columns=list(_SLICES))
    if len(slices):
        note = "Slices and other metrics have no verdict: with many of them, some differ by chance."
        parts.append(folded("By domain, length and metric", table(slices, _SLICES, note)))
    if results.runs:
        runs = pd.DataFrame([{name: getattr(run, name) for name in _RUNS} for run in results.runs])
        counts = dict.fromkeys(("seed", "steps", "input_tokens", "scored_tokens"), "Int64")
        runs = runs.astype({"seconds": float}).round({"seconds": 1}).astype(counts)
        parts.append(folded("All models", table(runs, _RUNS)))
    return parts


def _arms(arms: tuple[ArmResult, ...]) -> pd.DataFrame:
    rows = []
    for arm in arms:
        first, found = (arm.comparisons[0] if arm.comparisons else None), arm.difference
        rows.append(
            {
                "arm": arm.arm + (" (exploratory)" if arm.exploratory else ""),
                "ratio": _ratio(arm.ratio),
                "runs": f"{arm.runs:,}\u00a0of\u00a0{arm.planned_runs:,}",
                "loss": _loss(first.loss if first else None),
                "random_loss": _loss(first.random_loss if first else None),
                "difference": _signed(found.value if found else None),
                "interval": _interval(found.low, found.high, signed=True) if found else MISSING,
                "holm_p": MISSING if arm.holm_p is None else f"{arm.holm_p:.3f}",
                "smallest_visible": _loss(found.smallest_visible if found else None),
                "verdict": arm.verdict or arm.objection or "no verdict",
            }
        )
    return pd.DataFrame(rows, columns=list(_ARMS))


def _slices(arms: tuple[ArmResult, ...]) -> Iterator[tuple[str | int, ...]]:
    for arm in arms:
        for compared in arm.comparisons:
            found = compared.difference
            yield (
                arm.arm,
                _ratio(arm.ratio),
                "all" if compared.scope == "overall" else f"{compared.scope}: {compared.part}",
                METRICS[compared.metric].label,
                compared.rows,
                _loss(compared.loss),
                _loss(compared.random_loss),
                _signed(found.value if found else None),
                _interval(found.low, found.high, signed=True) if found else MISSING,
            )


def _plan_facts(trial: ReportedTrial, plan: TrialPlan) -> dict[str, str]:
    training, budget = plan.training, plan.budget
    cost = (trial.fixed or {}).get("cost") or {}
    found = {
        "Fingerprint": plan.fingerprint,
        "Fixed at": plan.created_at or MISSING,
        "Compared with": plan.baseline.name,
        "Metric": METRICS[plan.metric].label,
        "Held-out rows": f"{trial.held_out_rows:,}",
        "Budget of a model": f"{budget.value:,.6g} {budget.kind.replace('_', ' ')} ({BUDGET_KINDS[budget.kind]})",
        "Seeds": ", ".join(map(str, plan.seeds)),
        "Training": f"{training.method}, learning rate {training.learning_rate:g}, batches of "
        f"{training.batch_tokens:,} tokens, planned epochs: {training.epochs:g}",
        "Runs for a verdict": f"at least {plan.minimum_runs:,} of each arm",
    }
    if plan.ratios != (None,):
        found["Shares selected"] = ", ".join(_ratio(ratio) for ratio in plan.ratios)
    return found | ({"Cost": str(cost["sentence"])} if "sentence" in cost else {})


def _arms_of_plan(plan: TrialPlan) -> Html:
    rows = [
        (arm.name, ARMS[arm.kind].label, ARMS[arm.kind].help, arm.draws, "added later" if arm.exploratory else "yes")
        for arm in plan.arms
    ]
    columns = {"arm": "Arm", "kind": "Kind", "help": "Rows", "draws": "Draws", "planned": "Planned"}
    return table(pd.DataFrame(rows, columns=list(columns)), columns)


def _ratio(ratio: float | None) -> str:
    return "own amount" if ratio is None else f"{100 * ratio:g} %"


def _loss(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.4f}"


def _interval(low: float | None, high: float | None, signed: bool = False) -> str:
    if low is None or high is None:
        return MISSING
    form = "+.4f" if signed else ".4f"
    return f"{low:{form}} to {high:{form}}".replace(" ", "\u00a0")
