"""Explore: how learnability is distributed in each domain of a run, what goes with it, and the rows themselves."""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import CurationError
from core.exploring.browsing import SORT_COLUMNS, example, examples_page
from core.exploring.distributions import domain_counts, flag_counts, histogram, summary
from core.exploring.length_bias import length_bias, length_plane, length_points
from core.exploring.loss_plane import POINTS_LIMIT, loss_plane, loss_points
from core.filters import Range, RowFilter
from core.scores import FLAGS, SCORES, Score
from core.store import Store
from core.text_search import TextSearch
from ui.charts import (
    domain_colours,
    histogram_figure,
    length_plane_figure,
    length_points_figure,
    loss_plane_figure,
    loss_points_figure,
)
from ui.session import open_session
from ui.tables import show_flags, show_paper_figures, show_spearman, show_summary
from ui.widgets import example_card, link_to_page, run_picker, score_picker, show_error

DOMAINS_DRAWN = 8
ORDERS = ("Highest first", "Lowest first")
PAGE_SIZES = (10, 25, 50, 100)
VIEWS = ("Distribution", "Loss plane", "Length bias", "Examples")


@dataclass(frozen=True, slots=True)
class View:
    """What every section draws: the chosen score of the rows that pass the filter, `count` of them."""

    store: Store
    table: str
    row_filter: RowFilter
    score: Score
    count: int
    colours: dict[str, str]

    @property
    def rows(self) -> tuple[Store, str]:
        """Where the rows are."""
        return self.store, self.table


def explore() -> None:
    """The whole page."""
    st.header("Explore")
    session = open_session()
    left, right = st.columns(2)
    with left:
        name = run_picker(session)
    if name is None:
        return
    table = str(session.store.run(name)["table"])
    with right:
        score = score_picker()
    st.caption(f"{score.label} = {score.formula} [{score.unit}]. High: {score.higher_means}.")
    row_filter = choose_rows(session.store, table, score)
    counts = domain_counts(session.store, table, row_filter)
    rows = show_readout(counts)
    if not rows:
        st.info("No row passes these filters. Widen the score range, or clear the domains, flags or text.")
        return
    every_colour = domain_colours(counts["domain"].tolist())
    drawn = list(counts[counts["rows"] > 0].nlargest(DOMAINS_DRAWN, "rows")["domain"])
    view = View(session.store, table, row_filter, score, rows, {domain: every_colour[domain] for domain in drawn})
    start = VIEWS[3] if "example" in st.query_params else VIEWS[0]
    sections = (show_distribution, show_plane, show_length, show_examples)
    for tab, show in zip(
        st.tabs(VIEWS, key="view", on_change="rerun", bind="query-params", default=start), sections, strict=True
    ):
        if tab.open:  # a closed section asks nothing of the store
            with tab:
                show(view)


def choose_rows(store: Store, table: str, score: Score) -> RowFilter:
    """The filter that every number of the page keeps to."""
    domains = [row[0] for row in store.rows(f"SELECT DISTINCT domain FROM {table} ORDER BY domain")]
    flags = list(FLAGS)
    flag_help = "  \n".join(f"`{flag}`: {meaning}" for flag, meaning in FLAGS.items())
    any_value: Any = {"placeholder": "Any", "persist_state": "session"}
    domain, words, lowest, highest, more = st.columns([3, 3, 2, 2, 2], vertical_alignment="bottom")
    chosen = domain.multiselect("Domains", domains, key=f"domains_{table}", **any_value)
    text = words.text_input("Text in prompt or response", key="text", **any_value)
    low = lowest.number_input(f"{score.label} from", value=None, key=f"low_{score.name}", **any_value)
    high = highest.number_input(f"{score.label} to", value=None, key=f"high_{score.name}", **any_value)
    set_here = sum(bool(st.session_state.get(key)) for key in ("without", "having", "short", "long"))
    with more.popover(f"More filters ({set_here} set)" if set_here else "More filters", key="more", width="stretch"):
        without = st.multiselect("With none of these flags", flags, key="without", help=flag_help, **any_value)
        having = st.multiselect("With all of these flags", flags, key="having", help=flag_help, **any_value)
        short = st.number_input("Tokens from", value=None, step=1, key="short", **any_value)
        long = st.number_input("Tokens to", value=None, step=1, key="long", **any_value)
    bounds = ((score.name, low, high), ("token_count", short, long))
    ranges = tuple(Range(*each) for each in bounds if each[1] is not None or each[2] is not None)
    return RowFilter(tuple(chosen), ranges, tuple(without), tuple(having), TextSearch(text or ""))


def show_readout(counts: pd.DataFrame) -> int:
    """How many rows and tokens pass, of how many; returns the rows."""
    rows, tokens = int(counts["rows"].sum()), int(counts["tokens"].sum())
    all_rows, all_tokens = int(counts["all_rows"].sum()), int(counts["all_tokens"].sum())
    st.markdown(f"**{rows:,}** of {all_rows:,} rows, **{tokens:,}** of {all_tokens:,} tokens")
    return rows


def show_distribution(view: View) -> None:
    """Histogram by domain and its numbers, the summary and the flags."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        layouts, units = ("Overlaid", "One above another"), ("Rows", "Density")
        layout = st.segmented_control("Domains drawn", layouts, default=layouts[0], key="layout", required=True)
        unit = st.segmented_control("Height", units, default=units[0], key="height", required=True)
        bins = st.slider("Bins", 10, 200, 60, step=10, key="bins", width=240)
    counted = histogram(*view.rows, view.score.name, view.row_filter, bins)
    density, stacked = unit == units[1], layout == layouts[1]
    st.plotly_chart(
        histogram_figure(counted, view.colours, density=density, one_above_another=stacked), key="histogram"
    )
    found = summary(*view.rows, view.score.name, view.row_filter)
    if len(found) - 1 > len(view.colours):
        st.caption(f"The {len(view.colours)} largest of {len(found) - 1:,} domains are drawn; the tables hold all.")
    with st.expander("Numbers of the chart"):
        drawn = counted.bins[counted.bins["domain"].isin(list(view.colours))]
        st.dataframe(drawn, hide_index=True)
        st.caption("Rows beyond the chart's ends, and rows without this score")
        st.dataframe(counted.outside, hide_index=True)
    st.markdown("#### Summary")
    show_summary(found, view.score)
    st.markdown("#### Flags")
    show_flags(flag_counts(*view.rows, view.row_filter))


def show_plane(view: View) -> None:
    """Base loss against reference loss: points while they are few, a density above that."""
    plane = loss_plane(*view.rows, view.row_filter)
    if plane is None:
        st.info("None of these rows has both losses. Score the rest of the dataset, or widen the filters.")
        link_to_page("score", "Score a dataset")
        return
    points = loss_points(*view.rows, view.row_filter) if plane.rows <= POINTS_LIMIT else None
    figure = loss_plane_figure(plane) if points is None else loss_points_figure(points, view.colours)
    st.plotly_chart(figure, key="plane")
    st.caption(
        f"{plane.rows:,} rows with both losses. On the diagonal fine-tuning changed nothing; the further below it, the "
        f"more it removed. Dotted: the medians, {plane.base_median:.3g} before and {plane.reference_median:.3g} after. "
        "Learnability is a share: at a small base loss a small gain gives a high score, so read both."
    )
    with st.expander("Numbers of the chart"):
        numbers = plane.cells.assign(
            base_from=plane.cells["base_bin"] * plane.bin_width,
            reference_from=plane.cells["reference_bin"] * plane.bin_width,
        )
        columns = ["domain", "base_from", "reference_from", "rows"]
        st.dataframe(numbers[columns] if points is None else points, hide_index=True)


def show_length(view: View) -> None:
    """Length against score, and Spearman before and after normalising, beside the paper's figures."""
    plane = length_plane(*view.rows, view.score.name, view.row_filter)
    if plane is None:
        st.info("None of these rows has this score. Choose another score, or widen the filters.")
        return
    if int(plane.medians["rows"].sum()) <= POINTS_LIMIT:
        points = length_points(*view.rows, view.score.name, view.row_filter, POINTS_LIMIT)
        figure = length_points_figure(points, view.score.name, view.colours)
    else:
        figure = length_plane_figure(plane)
    st.plotly_chart(figure, key="length")
    with st.expander("Numbers of the chart"):
        medians = plane.medians.assign(
            tokens_from=[plane.length_edges[number] for number in plane.medians["length_bin"]]
        )
        st.dataframe(medians[["tokens_from", "rows", "median"]], hide_index=True)
    here, paper = st.columns([3, 2], gap="medium")
    with here:
        st.markdown("#### Spearman of score and response length")
        show_spearman(length_bias(*view.rows, view.row_filter))
    with paper:
        st.markdown("#### The paper's figures")
        show_paper_figures()


def show_examples(view: View) -> None:
    """The rows, sorted and paged in SQL, and the one that is open."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        place = SORT_COLUMNS.index(view.score.name)
        sort = st.selectbox("Sort by", SORT_COLUMNS, index=place, format_func=column_label, key="sort", width=240)
        order = st.segmented_control("Order", ORDERS, default=ORDERS[0], key="order", required=True)
        size = st.selectbox("Rows a page", PAGE_SIZES, key="page_size", width=120)
        st.number_input("Open row", min_value=1, value=None, step=1, key="example", bind="query-params", width=160)
    pages = max(1, math.ceil(view.count / size))
    above = st.container()
    asked = hash((view.table, view.row_filter, sort, order, size))  # another question begins at its first page
    page = st.pagination(pages, key=f"page_{asked}") if pages > 1 else 1
    frame, total = examples_page(*view.rows, view.row_filter, sort, order == ORDERS[0], page, size)
    with above:
        show_rows(view, frame)
    first = (page - 1) * size + 1
    st.caption(f"Rows {first:,} to {first + len(frame) - 1:,} of {total:,}. Select a row to open it.")
    opened = st.session_state.get("example")
    if opened is not None:
        st.markdown(f"#### Row {opened:,}")
        example_card(example(*view.rows, int(opened)))


def show_rows(view: View, frame: pd.DataFrame) -> None:
    """One page of rows; selecting one opens it, through the `example` field and so through the address."""
    numbers = frame["row_number"].tolist()
    key = f"rows_{hash(tuple(numbers))}"

    def open_selected() -> None:
        chosen = st.session_state[key].selection.rows
        st.session_state["example"] = int(numbers[chosen[0]]) if chosen else None

    formats: dict[str, Any] = {
        name: st.column_config.NumberColumn(column_label(name), format="%.3f") for name in SCORES
    }
    formats |= {
        name: st.column_config.NumberColumn(column_label(name), format="localized")
        for name in ("row_number", "token_count")
    }
    formats |= {name: name.capitalize() for name in ("domain", "flags")}
    formats |= {name: st.column_config.TextColumn(name.capitalize(), width=300) for name in ("prompt", "response")}
    shown = dict.fromkeys((view.score.name, "base_loss", "reference_loss", "token_count", "flags"))
    order = ["row_number", "domain", *shown, "prompt", "response"]
    st.dataframe(
        frame, hide_index=True, key=key, column_order=order, column_config=formats, on_select=open_selected,
        selection_mode="single-row",
    )  # fmt: skip


def column_label(column: str) -> str:
    """A column of the rows in words."""
    if column in SCORES:
        return SCORES[column].label
    return {"row_number": "Row", "token_count": "Tokens"}.get(column, column.capitalize())


try:
    explore()
except CurationError as error:
    show_error(error)
