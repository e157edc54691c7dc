"""Compares two saved selections: shared rows by domain, and the rows in one or both of them."""

import math
from typing import Any

import pandas as pd
import streamlit as st

from core.data.errors import UserError
from core.exploring.browsing import example
from core.selection import Selection, compared_rows, overlap, saved_selection
from core.store import Store
from ui.curate.saved_selections import chosen_name
from ui.kit.tables import ALL_DOMAINS, CLOSE_VALUE, COUNT, SHARE, open_by_number, show_selectable
from ui.kit.widgets import example_card, show_error

PARTS = {"only_first": "Only in A", "only_second": "Only in B", "both": "In both"}
ROWS_A_PAGE = 25
_ROW = "compared_row"


def show_comparison(store: Store, names: list[str]) -> None:
    """Draw the pickers, the counts by domain, and the rows."""
    st.markdown("#### Compare two selections")
    if len(names) < 2:
        st.caption("Save two selections to compare them here.")
        return
    left, right = st.columns(2)
    with left:
        first_name = chosen_name("A", names, "overlap_first", "The first selection.")
    with right:
        second_name = chosen_name("B", names, "overlap_second", "The second selection, of the same dataset.", 1)
    try:
        first, second = saved_selection(store, first_name), saved_selection(store, second_name)
        counts = overlap(store, first, second)
    except UserError as error:
        show_error(error)
        return
    _show_counts(counts)
    _show_part(store, first, second, counts)


def _show_counts(counts: pd.DataFrame) -> None:
    labels = {"domain": "Domain", "both": "Rows in both", "only_first": "Only in A", "only_second": "Only in B"}
    labels |= {"jaccard": "Shared (both / either)"}
    shown = counts.assign(domain=[*counts["domain"][:-1], ALL_DOMAINS])
    formats: dict[str, Any] = dict.fromkeys(list(labels.values())[1:4], COUNT) | {labels["jaccard"]: SHARE}
    st.dataframe(shown.rename(columns=labels), hide_index=True, column_config=formats)


@st.fragment
def _show_part(store: Store, first: Selection, second: Selection, counts: pd.DataFrame) -> None:
    """The rows of one part, paged in SQL. A fragment, so that changing the page does not recompute the counts."""
    whole = counts.iloc[-1]
    st.session_state.setdefault("compared_part", next((part for part in PARTS if whole[part]), "only_first"))
    part = str(
        st.segmented_control(
            "Rows", list(PARTS), format_func=lambda name: f"{PARTS[name]} ({whole[name]:,})", required=True,
            key="compared_part", persist_state="session",
            help="Rows that only one of the selections includes, or that both include.",
        )
    )  # fmt: skip
    count = int(whole[part])
    if not count:
        st.text("No rows.")
        return
    pages = math.ceil(count / ROWS_A_PAGE)
    above = st.container()
    asked = hash((part, *(str(selection.to_fields()) for selection in (first, second))))
    page = st.pagination(pages, key=f"compared_page_{asked}") if pages > 1 else 1
    try:
        rows = compared_rows(store, first, second, part, page, ROWS_A_PAGE)
    except UserError as error:
        show_error(error)
        return
    with above:
        _show_rows(rows, first, second, part)
    begin = (page - 1) * ROWS_A_PAGE + 1
    st.caption(f"Rows {begin:,} to {begin + len(rows) - 1:,} of {count:,}, best first. Select a row to open it.")
    _show_opened(store, second if part == "only_second" else first)


def _show_rows(rows: pd.DataFrame, first: Selection, second: Selection, part: str) -> None:
    numbers = rows["row_number"].tolist()
    labels = {"row_number": "Row", "domain": "Domain", **_value_labels(first, second)}
    other = {"only_first": ("second_outcome", "Why not in B"), "only_second": ("first_outcome", "Why not in A")}
    if part in other:
        column, label = other[part]
        rows = rows.assign(**{column: rows[column].fillna("row was added after its run was scored")})
        labels[column] = label
    labels |= {"token_count": "Tokens", "prompt": "Prompt", "response": "Response"}
    formats: dict[str, Any] = {label: CLOSE_VALUE for name, label in labels.items() if name.endswith("_value")}
    formats |= {"Row": COUNT, "Tokens": COUNT}
    shown = rows[list(labels)].rename(columns=labels)
    show_selectable(shown, numbers, f"compared_{part}", open_by_number(_ROW), column_config=formats)


def _value_labels(first: Selection, second: Selection) -> dict[str, str]:
    """Labels of the two score columns; one column if both are the same."""
    labels = [selection.value_label for selection in (first, second)]
    if (first.run, first.score) == (second.run, second.score):
        return {"first_value": labels[0]}
    return {"first_value": f"A: {labels[0]}", "second_value": f"B: {labels[1]}"}


def _show_opened(store: Store, selection: Selection) -> None:
    """The open row, with the numbers from the run of the selection that includes it."""
    opened = st.number_input(
        "Open row", min_value=1, value=None, step=1, key=_ROW, width=160, placeholder="Number",
        help="Row number in the dataset. Shows the full row.",
    )  # fmt: skip
    if opened is None:
        return
    try:
        example_card(example(store, str(store.run(selection.run)["table"]), int(opened)))
    except UserError as error:
        show_error(error)
