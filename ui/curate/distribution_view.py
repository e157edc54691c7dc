"""The Distribution tab: the chosen score by domain in four chart types, their data, and the summary table."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.exploring.density import smoothed
from core.exploring.distributions import FINE_BINS, POSITIVE_COLUMNS, histogram, summary, with_shares
from core.exploring.pair_accuracy import pair_accuracies
from ui.charts import density_figure, ecdf_figure, histogram_figure, ridgeline_figure
from ui.curate.linked_charts import LinkedView
from ui.kit.chart_frame import show_chart
from ui.kit.filter_bar import show_no_rows
from ui.kit.filter_state import brush_range
from ui.kit.tables import show_summary

KINDS = {
    "Histogram": "number of rows in each bin",
    "Density": "smoothed histogram; the area is 1 for every domain, so large and small domains can be compared",
    "ECDF": "share of rows below each value, to read percentiles",
    "Ridgeline": "one smoothed curve per domain, with median and quartiles",
}
_NOTE = "Hover over the chart for percentiles: the percentage of a domain's rows below the value."
LAYOUTS = ("Overlaid", "Stacked")
_STACKED = ("Histogram", "Density")


@dataclass(frozen=True, slots=True)
class _Choice:
    """The chart options: `kind` of `KINDS`, layout, axes and bins."""

    kind: str
    stacked: bool
    log_values: bool
    log_counts: bool
    bins: int


def show_distribution(view: LinkedView) -> None:
    """The chart, which can be brushed along x, and the summary of the rows that pass the filter."""
    choice = _choose(view.score.name)
    column = view.score.name
    bins = choice.bins if choice.kind == "Histogram" else FINE_BINS
    counted = histogram(
        view.store, view.table, column, view.filter_without(column), bins, log=choice.log_values,
        domains=list(view.colours),
    )  # fmt: skip
    if counted.bins.empty:
        show_no_rows(view.row_filter)
        return
    figure, numbers = _figure(view, choice, counted)
    show_chart(
        figure, numbers, key="distribution", file_name=f"{column}-{choice.kind.lower()}", selectable=True,
        on_brush=partial(brush_range, column), note=_NOTE,
    )  # fmt: skip
    if view.score.is_of_pairs:
        st.markdown("#### Pairs that the reference prefers as labelled")
        for accuracy in pair_accuracies(view.store, view.table, view.row_filter):
            st.text(accuracy.sentence())
    st.markdown("#### Summary")
    show_summary(summary(view.store, view.table, column, view.row_filter), view.score)


def _choose(column: str) -> _Choice:
    kept: Any = {"persist_state": "session"}
    linked: Any = {**kept, "bind": "query-params"}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kinds = list(KINDS)
        lines = "  \n".join(f"{kind}: {meaning}." for kind, meaning in KINDS.items())
        kind = st.segmented_control("Chart", kinds, default=kinds[0], required=True, key="kind", help=lines, **linked)
        layout, bins, log_values, log_counts = LAYOUTS[0], 60, False, False
        if kind in _STACKED:
            text = "All domains in one plot, or one plot per domain."
            layout = st.segmented_control(
                "Domains", LAYOUTS, default=layout, required=True, key="layout", help=text, **kept
            )
        if kind == "Histogram":
            text = "More bins show more detail and more noise."
            bins = st.slider("Bins", 10, 200, bins, step=10, key="bins", width=150, help=text, **kept)
        if column in POSITIVE_COLUMNS:
            text = "Logarithmic x axis: spreads out small values and compresses a long tail."
            log_values = st.toggle("Log values", key="log_values", help=text, **linked)
        if kind == "Histogram":
            text = "Logarithmic y axis: bins with few rows stay visible."
            log_counts = st.toggle("Log counts", key="log_counts", help=text, **linked)
    return _Choice(kind, layout == LAYOUTS[1], log_values, log_counts, bins)


def _figure(view: LinkedView, choice: _Choice, counted: Any) -> tuple[go.Figure, pd.DataFrame]:
    """The chart and its data, for the domains that are drawn."""
    column = view.score.name
    brush: Any = {"brushable": True, "brush": view.brushed_span(counted)}
    numbers = with_shares(counted)
    if choice.kind == "Histogram":
        figure = histogram_figure(
            counted, view.colours, one_above_another=choice.stacked, log_counts=choice.log_counts, **brush
        )
    elif choice.kind == "ECDF":
        figure = ecdf_figure(counted, view.colours, **brush)
        numbers = numbers[["domain", "bin_high", "share_high"]].rename(
            columns={"bin_high": column, "share_high": "share_below"}
        )
    else:
        found = smoothed(counted)
        if choice.kind == "Density":
            figure = density_figure(found, view.colours, one_above_another=choice.stacked, **brush)
        else:
            quartiles = summary(view.store, view.table, column, view.filter_without(column))
            figure = ridgeline_figure(found, quartiles[~quartiles["overall"]], view.colours, **brush)
        numbers = found.curve.rename(columns={"value": column})
    return figure, numbers
