"""The results of a trial: arms beside random with intervals, by slice and metric, and loss over the share of rows."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.evidence import METRICS, TrialResults
from core.evidence.result_fields import Comparison
from core.evidence.trial_folder import Trial
from ui.charts.trial_charts import arms_table, curve_table, forest_figure, ratio_curve_figure
from ui.evidence.verdict_strip import show_sentences
from ui.kit.chart_frame import show_chart
from ui.kit.tables import COUNT
from ui.shell.entrance import require_login

_OVERALL = ("overall", "")
_SCOPES = {"domain": "Domain", "length": "Response length"}


@st.fragment
def show_results(trial: Trial) -> None:
    """What a trial has shown so far. A fragment, so that another slice draws nothing else anew."""
    require_login()
    results = trial.results()
    compared = [found for arm in results.arms for found in arm.comparisons]
    if not compared:
        st.caption("No arm has a model beside one of random yet.")
        show_sentences(results.sentences)
        return
    charts = st.container()  # above the choices, so that they are in sight
    scope, part, metric = _choices(compared)
    judged = (scope, part, metric) == (*_OVERALL, results.metric)
    table = arms_table(results, scope, part, metric, judged)
    places = charts.columns([3, 2], gap="medium") if len(trial.plan.ratios) > 1 else [charts]
    with places[0]:
        drawn = table.dropna(subset=["difference"])
        where = f"{_slice_label((scope, part))}; {METRICS[metric].label.lower()}"
        if len(drawn):
            show_chart(forest_figure(drawn, results.baseline, where), table, "trial_forest", "trial-differences")
    if len(places) > 1:
        with places[1]:
            _show_curve(results)
    _show_table(table, judged)
    show_sentences(results.sentences)


def _choices(compared: Sequence[Comparison]) -> tuple[str, str, str]:
    """Scope and part of the held-out rows, and the metric."""
    left, right = st.columns(2)
    scope, part = left.selectbox(
        "Held-out rows", list(dict.fromkeys((found.scope, found.part) for found in compared)),
        format_func=_slice_label, key="trial_slice",
        help="The verdict is of all held-out rows. Parts of them have intervals and no verdict: of many, some differ "
        "by chance.",
    )  # fmt: skip
    metric = right.selectbox(
        "Metric", list(dict.fromkeys(found.metric for found in compared)),
        format_func=lambda name: METRICS[name].label, key="trial_metric",
        help="Token-weighted: all tokens count alike. Row-weighted: all rows do. The first is the trial's own.",
    )  # fmt: skip
    return scope, part, metric


def _show_table(table: pd.DataFrame, judged: bool) -> None:
    ends = zip(table["low"], table["high"], strict=True)
    shown = table.assign(
        interval=["" if pd.isna(low) else f"{low:+.4f} to {high:+.4f}" for low, high in ends],
        loss=_texts(table["loss"], "{:.4f}"),
        difference=_texts(table["difference"], "{:+.4f}"),
        holm_p=[text.replace("0.0000", "< 0.0001") for text in _texts(table["holm_p"], "{:.4f}")],
        smallest_visible=_texts(table["smallest_visible"], "{:.4f}"),
    )
    labels = {"arm": "Arm", "runs": "Runs", "loss": "Loss", "difference": "Difference", "interval": "95 % interval",
              "holm_p": "p (Holm)", "smallest_visible": "Smallest visible", "verdict": "Verdict"}  # fmt: skip
    if not judged:
        del labels["holm_p"], labels["verdict"]
    numbers = ("Loss", "Difference", "95 % interval", "p (Holm)", "Smallest visible")
    formats = {"Runs": COUNT, **dict.fromkeys(numbers, st.column_config.TextColumn(alignment="right"))}
    st.dataframe(shown[list(labels)].rename(columns=labels), hide_index=True, height="content", column_config=formats)
    st.caption(
        "Loss and differences in nats per token; negative: lower loss than random. Smallest visible: a true difference "
        "of this size would be found 80 times in 100."
        + (" p is adjusted for all arms (Holm)." if judged else " Parts and other metrics have no verdict.")
    )


def _texts(values: pd.Series, form: str) -> list[str]:
    """Numbers as text, nothing where there is none."""
    return ["" if pd.isna(value) else form.format(value) for value in values]


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
