"""The table of rows that pass the filter, sorted and paged in SQL. Selecting a row opens it."""

import math
from collections.abc import Collection
from typing import Any

import pandas as pd
import streamlit as st

from core.data.filters import RowFilter
from core.data.scores import SCORES, Score
from core.exploring.browsing import SORT_COLUMNS, examples_page
from core.store import Store
from ui.kit.tables import open_by_number, show_selectable
from ui.kit.widgets import linked_number

ORDERS = ("Highest first", "Lowest first")
PAGE_SIZES = (10, 25, 50, 100)
_TURN = "rows_turn"


def show_rows(
    store: Store, table: str, row_filter: RowFilter, score: Score, count: int, scores: Collection[str]
) -> list[int]:
    """Draw one page of the `count` rows that pass; returns the numbers of the rows on it. `scores`: those of the run,
    which rows can be sorted by."""
    columns = [name for name in SORT_COLUMNS if name not in SCORES or name in scores]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        sort = st.selectbox(
            "Sort by", ("score", *columns), format_func=lambda name: _sort_label(name, score), key="sort",
            width=240, persist_state="session", help="Rows without a value come last.",
        )  # fmt: skip
        order = st.segmented_control(
            "Order", ORDERS, default=ORDERS[0], key="order", required=True, persist_state="session",
            help="Lowest first shows the rows that a selection takes last.",
        )  # fmt: skip
        size = st.selectbox(
            "Rows per page",
            PAGE_SIZES,
            key="page_size",
            width=120,
            persist_state="session",
            help="Number of rows in the table.",
        )
        linked_number(
            "Open row", "example", "The row's number in the dataset. The URL of this page then opens the same row."
        )
    column = score.name if sort == "score" else str(sort)
    pages = max(1, math.ceil(count / size))
    above = st.container()
    asked = hash((table, row_filter, column, order, size))  # a new query starts at page 1
    page = st.pagination(pages, key=f"page_{asked}") if pages > 1 else 1
    frame, total = examples_page(store, table, row_filter, column, order == ORDERS[0], page, size)
    with above:
        _show_page(frame, score)
    first = (page - 1) * size + 1
    st.caption(f"Rows {first:,} to {first + len(frame) - 1:,} of {total:,}. Select a row to open it.")
    return [int(number) for number in frame["row_number"]]


def close_row() -> None:
    """Close the open row and reset the table's selection, so that the same row can be opened again."""
    st.session_state["example"] = None
    st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1


def column_label(column: str) -> str:
    """The label of a column."""
    if column in SCORES:
        return SCORES[column].label
    return {"row_number": "Row", "token_count": "Tokens"}.get(column, column.capitalize())


def _sort_label(name: str, score: Score) -> str:
    return f"{score.label} (chosen score)" if name == "score" else column_label(name)


def _show_page(frame: pd.DataFrame, score: Score) -> None:
    formats: dict[str, Any] = {
        name: st.column_config.NumberColumn(column_label(name), format="%.3f") for name in SCORES
    }
    formats |= {
        name: st.column_config.NumberColumn(column_label(name), format="localized")
        for name in ("row_number", "token_count")
    }
    formats["domain"] = "Domain"
    formats["flags"] = st.column_config.TextColumn("Flags", help="All flags except trained_on (see the Trust tab).")
    formats |= {name: st.column_config.TextColumn(name.capitalize(), width=300) for name in ("prompt", "response")}
    shown = dict.fromkeys((score.name, "base_loss", "reference_loss", "token_count", "flags"))
    order = ["row_number", "domain", *shown, "prompt", "response"]
    turn = st.session_state.get(_TURN, 0)
    show_selectable(
        frame, frame["row_number"].tolist(), f"rows_{turn}", open_by_number("example"), column_order=order,
        column_config=formats,
    )  # fmt: skip
