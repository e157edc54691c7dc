"""The results of a trial: arms beside random with intervals, by slice and metric, and loss over the share of rows."""

import pandas as pd
import streamlit as st

from core.evidence import METRICS, TrialResults
from core.evidence.trial_folder import Trial
from ui.charts.trial_charts import arms_table, curve_table, forest_figure, ratio_curve_figure
from ui.evidence.verdict_card import show_sentences
from ui.kit.chart_frame import show_chart
from ui.kit.tables import CLOSE_VALUE, COUNT
from ui.shell.entrance import require_login

_OVERALL = ("overall", "")
_SCOPES = {"domain": "Domain", "length": "Response length"}


@st.fragment
def show_results(trial: Trial) -> None:
    """What a trial has shown so far. A fragment, so that another slice draws nothing else anew."""
    require_login()
    results = trial.results()
    several = len(trial.plan.ratios) > 1
    columns = st.columns([3, 2], gap="medium") if several else [st.container()]
    with columns[0]:
        _show_arms(results)
    if several:
        with columns[1]:
            _show_curve(results)
    show_sentences(results.sentences)


def _show_arms(results: TrialResults) -> None:
    """The forest plot and the table of all arms, on the chosen held-out rows by the chosen metric."""
    slices = list(dict.fromkeys((found.scope, found.part) for arm in results.arms for found in arm.comparisons))
    if not slices:
        st.caption("No arm has a model beside one of random yet.")
        return
    left, right = st.columns(2)
    part = left.selectbox(
        "Held-out rows", slices, format_func=_slice_label, key="trial_slice",
        help="The verdict is of all held-out rows. Parts of them have intervals and no verdict: of many, some differ "
        "by chance.",
    )  # fmt: skip
    metrics = list(dict.fromkeys(found.metric for arm in results.arms for found in arm.comparisons))
    metric = right.selectbox(
        "Metric", metrics, format_func=lambda name: METRICS[name].label, key="trial_metric",
        help="Token-weighted: all tokens count alike. Row-weighted: all rows count alike. The first is the trial's.",
    )  # fmt: skip
    judged = part == _OVERALL and metric == results.metric
    table = arms_table(results, *part, str(metric), judged)
    drawn = table.dropna(subset=["difference"])
    if len(drawn):
        where = f"{_slice_label(part)}; {METRICS[str(metric)].label.lower()}"
        show_chart(forest_figure(drawn, results.baseline, where), table, "trial_forest", "trial-differences")
    _show_table(table, judged)


def _show_table(table: pd.DataFrame, judged: bool) -> None:
    ends = zip(table["low"], table["high"], strict=True)
    interval = [f"{low:+.4f} to {high:+.4f}" if pd.notna(low) else "" for low, high in ends]
    labels = {"arm": "Arm", "runs": "Runs", "loss": "Loss", "difference": "Difference", "interval": "95 % interval",
              "holm_p": "p (Holm)", "smallest_visible": "Smallest visible", "verdict": "Verdict"}  # fmt: skip
    if not judged:
        del labels["holm_p"], labels["verdict"]
    formats = {"Runs": COUNT, **dict.fromkeys(("Loss", "Difference", "p (Holm)", "Smallest visible"), CLOSE_VALUE)}
    shown = table.assign(interval=interval)[list(labels)].rename(columns=labels)
    st.dataframe(shown, hide_index=True, height="content", column_config=formats)
    st.caption(
        "Loss and differences in nats per token; negative: lower loss than random. Smallest visible: a true difference "
        "of this size would be found 80 times in 100."
        + (" p is adjusted for all arms (Holm)." if judged else " Parts and other metrics have no verdict.")
    )


def _show_curve(results: TrialResults) -> None:
    curve = curve_table(results)
    show_chart(
        ratio_curve_figure(curve, list(dict.fromkeys(curve["arm"])), results.baseline),
        curve.rename(columns={"ratio": "share_of_rows"}), "trial_curve", "held-out-loss-by-share",
        note="The band says how much training runs of an arm vary on these held-out rows.",
    )  # fmt: skip


def _slice_label(part: tuple[str, str]) -> str:
    scope, name = part
    return "All held-out rows" if (scope, name) == _OVERALL else f"{_SCOPES[scope]}: {name}"
