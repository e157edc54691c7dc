"""A page of rows, sorted and paged in SQL. Selecting a row opens it beside the table."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from core.data.filters import Query, RowFilter
from core.data.scores import SCORES, Score, is_score, score_named
from core.exploring.browsing import SORT_COLUMNS, examples_page
from core.store import Store
from ui.curate.row_panel import TURN
from ui.kit.tables import open_by_number, show_selectable
from ui.kit.widgets import linked_number

ORDERS = ("Highest first", "Lowest first")
PAGE_SIZES = (10, 25, 50, 100)
_HEIGHT = 440  # pixels; a longer page scrolls, so that the panel beside it stays in sight


@dataclass(frozen=True, slots=True)
class Sorting:
    """How the table is sorted and paged."""

    column: str
    descending: bool
    page_size: int


def sorting_controls(score: Score, scores: Collection[str]) -> Sorting:
    """Draw the controls. `scores`: those of the run, which rows can be sorted by."""
    columns = [*(name for name in SORT_COLUMNS if name not in SCORES), *scores]
    sort = st.selectbox(
        "Sort by", ("score", *columns), format_func=lambda name: _sort_label(name, score), key="sort",
        width=220, persist_state="session", help="Rows without a value come last.",
    )  # fmt: skip
    order = st.segmented_control(
        "Order", ORDERS, default=ORDERS[0], key="order", required=True, persist_state="session",
        help="Lowest first shows the rows that a selection takes last.",
    )  # fmt: skip
    size = st.selectbox(
        "Rows per page", PAGE_SIZES, key="page_size", width=110, persist_state="session",
        help="Number of rows in the table.",
    )  # fmt: skip
    return Sorting(score.name if sort == "score" else str(sort), order == ORDERS[0], int(size))


def row_field() -> None:
    """Draw the field that opens a row by its number."""
    linked_number(
        "Open row", "example", "The row's number in the dataset. The URL of this page then opens the same row."
    )


def show_page(
    store: Store, table: str, row_filter: RowFilter, score: Score, sorting: Sorting, within: Query, part: str
) -> pd.DataFrame:
    """Draw the place of the table and the control that turns its pages; returns the rows of the page. `within`: an SQL
    condition besides the filter; `part`: its name."""
    asked = hash((table, row_filter, sorting, part))  # a new query starts at page 1
    key, size = f"page_{asked}", sorting.page_size
    order = (sorting.column, sorting.descending)
    page = int(st.session_state.get(key) or 1)
    frame, total = examples_page(store, table, row_filter, *order, page, size, within)
    if not total:
        return frame
    if frame.empty:  # the selection changed, and has fewer pages now
        page = math.ceil(total / size)
        frame, total = examples_page(store, table, row_filter, *order, page, size, within)
        st.session_state[key] = page
    first = (page - 1) * size + 1
    with st.container(horizontal=True, vertical_alignment="center"):
        pages = math.ceil(total / size)
        if pages > 1:
            st.pagination(pages, key=key)
        st.caption(f"Rows {first:,} to {first + len(frame) - 1:,} of {total:,}. Select a row to open it.")
    return frame


def show_table(frame: pd.DataFrame, score: Score, reasons: Sequence[str] | None) -> None:
    """Draw the page; `reasons`: why each of its rows is not selected."""
    formats: dict[str, Any] = {
        name: st.column_config.NumberColumn(column_label(name), format="%.3f")
        for name in frame.columns
        if is_score(name)
    }
    formats |= {
        name: st.column_config.NumberColumn(column_label(name), format="localized")
        for name in ("row_number", "token_count")
    }
    formats["domain"] = "Domain"
    formats["reason"] = "Reason"
    formats["flags"] = st.column_config.TextColumn("Flags", help="All flags except trained_on (see the Trust tab).")
    formats |= {name: st.column_config.TextColumn(name.capitalize(), width=220) for name in ("prompt", "response")}
    shown = dict.fromkeys((score.name, "base_loss", "reference_loss", "token_count", "flags"))
    order = ["row_number", "domain", *shown, "prompt", "response"]
    if reasons is not None:
        frame = frame.assign(reason=list(reasons))
        order.insert(2, "reason")
    numbers = [int(number) for number in frame["row_number"]]
    opened = st.session_state.get("example")
    marked = {"selection_default": {"selection": {"rows": [numbers.index(opened)]}}} if opened in numbers else {}
    height: Any = "content" if len(frame) <= 10 else _HEIGHT
    key = f"rows_{st.session_state.get(TURN, 0)}"
    show_selectable(
        frame, numbers, key, open_by_number("example"), column_order=order, column_config=formats, height=height,
        **marked,
    )  # fmt: skip


def column_label(column: str) -> str:
    """The label of a column."""
    if is_score(column):
        return score_named(column).label
    return {"row_number": "Row", "token_count": "Tokens"}.get(column, column.capitalize())


def _sort_label(name: str, score: Score) -> str:
    return f"{score.label} (chosen score)" if name == "score" else column_label(name)
