"""The curve of a trial over the amount slider: held-out loss by share of rows, with the current share marked."""

from pathlib import Path

from core.data.errors import UserError
from core.evidence.selection_evidence import trials_of_run
from core.selection import Amount, Selection
from ui.charts.trial_charts import curve_table, ratio_curve_figure
from ui.kit.chart_frame import show_chart


def show_trial_curve(workspace: Path, selection: Selection, rows: int) -> None:
    """The curve of the run's newest trial with several shares; nothing if there is none. `rows`: eligible rows, of
    which a number of rows is a share."""
    trial = next((trial for trial in trials_of_run(workspace, selection.run) if len(trial.plan.ratios) > 1), None)
    if trial is None:
        return
    try:
        results = trial.results()
    except UserError:
        return  # the Evidence page says what is wrong with it
    selections = [arm.name for arm in trial.plan.arms if arm.kind == "selection"]
    curve = curve_table(results)
    curve = curve[curve["arm"].isin([*selections, results.baseline])]
    if curve.empty:
        return
    figure = ratio_curve_figure(
        curve, [*selections, results.baseline], results.baseline, _share(selection.amount, rows), small=True
    )
    figure.update_layout(height=150, showlegend=False, margin={"t": 36}, xaxis_title=None)
    note = f"Trial {trial.name}, {len(trial.held_out):,} held-out rows; the line marks the share chosen above."
    numbers = curve.rename(columns={"ratio": "share_of_rows"})
    show_chart(figure, numbers, "amount_trial", "held-out-loss-by-share", note=note)


def _share(amount: Amount, rows: int) -> float | None:
    """An amount as a share of the rows; None for tokens, which are not one."""
    if amount.kind == "ratio":
        return amount.value
    return amount.value / rows if amount.kind == "rows" and rows else None
