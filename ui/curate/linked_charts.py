"""Linked charts: a brush on one filters the others, the table and the counts. Everything is computed in SQL on all
rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st

from core.data.filters import RowFilter
from core.data.scores import Score
from core.exploring.distributions import Histogram, domain_counts, flag_counts, histogram
from core.exploring.length_bias import length_plane, length_points
from core.exploring.loss_plane import POINTS_LIMIT, loss_plane, loss_points
from core.store import Store
from ui.charts import (
    histogram_figure,
    length_plane_figure,
    length_points_figure,
    loss_plane_figure,
    loss_points_figure,
)
from ui.charts.planes import Cuts
from ui.kit.brushes import Corner, Span
from ui.kit.chart_frame import show_chart
from ui.kit.filter_bar import show_no_rows
from ui.kit.filter_state import brush_plane, brush_range
from ui.kit.widgets import link_to_page
from ui.shell.session import remembered_for

_HEIGHT = 370  # pixels; equal, because the charts are side by side


@dataclass(frozen=True, slots=True)
class LinkedView:
    """The input of the linked charts: a run's scored table, the filter, the score, the colours of the domains that are
    drawn, and how many rows pass the filter."""

    store: Store
    table: str
    row_filter: RowFilter
    score: Score
    colours: dict[str, str]
    rows: int

    def filter_without(self, *columns: str) -> RowFilter:
        """The filter for a chart of these columns: all conditions except brushes on the chart itself, so that the
        chart still shows the rows around its brush."""
        return self.row_filter.on_columns(*columns)

    def brushed_span(self, counted: Histogram) -> Span | None:
        """The filter's range on the chart's column; an open end becomes the end of the axis."""
        brushed = self.row_filter.range_on(counted.column)
        if brushed.low is None and brushed.high is None:
            return None
        return (
            counted.low if brushed.low is None else brushed.low,
            counted.high if brushed.high is None else brushed.high,
        )


def show_linked_histogram(view: LinkedView, note: str) -> None:
    """The score's histogram, a plot for each domain; a drag along x sets a range."""
    column = view.score.name
    counted = histogram(view.store, view.table, column, view.filter_without(column), domains=list(view.colours))
    if counted.bins.empty:
        show_no_rows(view.row_filter)
        return
    figure = histogram_figure(
        counted, view.colours, one_above_another=True, brushable=True, brush=view.brushed_span(counted)
    )
    figure.update_layout(height=_HEIGHT, uirevision="cuts")
    show_chart(
        figure, counted.bins, key="linked_histogram", file_name=f"{column}-histogram", selectable=True,
        on_brush=partial(brush_range, column), note=note,
    )  # fmt: skip


def show_linked_plane(
    view: LinkedView, cuts: Cuts | None, are_kept: Callable[[Sequence[int]], Sequence[bool]] | None
) -> None:
    """Base loss against reference loss; a box or lasso filters rows. Points for few rows, a density for many.
    `are_kept`: whether rows of these numbers are selected; points of those that are not are faint."""
    x, y = "base_loss", "reference_loss"
    row_filter = view.filter_without(x, y)
    asked = (view.table, view.store.table_state(view.table), row_filter)
    plane = remembered_for("loss_plane", asked, lambda: loss_plane(view.store, view.table, row_filter))
    if plane is None:
        _show_empty_reason(view, row_filter, "both losses")
        return
    box, lasso = brush_on(view.row_filter, x, y)
    numbers: pd.DataFrame
    if plane.rows <= POINTS_LIMIT:
        numbers = loss_points(view.store, view.table, row_filter)
        points = numbers.assign(is_kept=are_kept(numbers["row_number"].tolist())) if are_kept else numbers
        figure = loss_points_figure(points, view.colours, brushable=True, box=box, lasso=lasso, cuts=cuts)
    else:
        figure = loss_plane_figure(plane, brushable=True, box=box, lasso=lasso, cuts=cuts)
        cells = plane.cells.assign(
            base_from=plane.cells["base_bin"] * plane.bin_width,
            reference_from=plane.cells["reference_bin"] * plane.bin_width,
        )
        numbers = cells[["domain", "base_from", "reference_from", "rows"]]
    figure.for_each_annotation(lambda label: label.update(text=label.text.partition(":")[0]))  # two would overlap
    figure.update_layout(height=_HEIGHT, uirevision="cuts")
    show_chart(
        figure, numbers, key="linked_plane", file_name="loss-plane", selectable=True,
        on_brush=partial(brush_plane, x, y),
        note=f"Below the diagonal, fine-tuning removed loss. Dotted: medians ({plane.base_median:.3g} and "
        f"{plane.reference_median:.3g}). Where the base loss is small, even a small gain is a high learnability."
        + (" Faint: not selected." if are_kept and plane.rows <= POINTS_LIMIT else ""),
    )  # fmt: skip


def show_linked_length(view: LinkedView) -> None:
    """Response length against the score; a box or lasso filters rows."""
    x, y = "token_count", view.score.name
    row_filter = view.filter_without(x, y)
    plane = length_plane(view.store, view.table, y, row_filter)
    if plane is None:
        _show_empty_reason(view, row_filter, "this score")
        return
    box, lasso = brush_on(view.row_filter, x, y)
    if int(plane.medians["rows"].sum()) <= POINTS_LIMIT:
        points = length_points(view.store, view.table, y, row_filter, POINTS_LIMIT)
        figure = length_points_figure(points, y, view.colours, brushable=True, box=box, lasso=lasso)
    else:
        figure = length_plane_figure(plane, brushable=True, box=box, lasso=lasso)
    medians = plane.medians.assign(tokens_from=[plane.length_edges[number] for number in plane.medians["length_bin"]])
    show_chart(
        figure, medians[["tokens_from", "rows", "median"]], key="linked_length", file_name=f"{y}-by-length",
        selectable=True, on_brush=partial(brush_plane, x, y, log_x=True),
    )  # fmt: skip


def _show_empty_reason(view: LinkedView, row_filter: RowFilter, missing: str) -> None:
    """Shown instead of an empty chart: why there is nothing to draw. Offers scoring only for rows not scored yet."""
    counts = domain_counts(view.store, view.table, row_filter)
    if not counts["rows"].sum():
        show_no_rows(row_filter)
        return
    unscored = int(flag_counts(view.store, view.table, row_filter)["not_scored"].sum())
    if unscored:
        st.info(f"None of these rows has {missing}. Not scored yet: {unscored:,}. Score the dataset again.")
        link_to_page("score", "Score a dataset")
    else:
        st.info(f"None of these rows has {missing}, although all were scored. Open a row to see the reason.")


def brush_on(row_filter: RowFilter, x: str, y: str) -> tuple[tuple[Span, Span] | None, list[Corner] | None]:
    """The filter's box or lasso on two columns, for drawing."""
    lassos = [list(area.corners) for area in row_filter.regions if (area.x, area.y) == (x, y)]
    across, up = row_filter.range_on(x), row_filter.range_on(y)
    ends = (across.low, across.high, up.low, up.high)
    box = None
    if None not in ends:
        low_x, high_x, low_y, high_y = (float(end) for end in ends if end is not None)
        box = ((low_x, high_x), (low_y, high_y))
    return box, (lassos[0] if lassos else None)
