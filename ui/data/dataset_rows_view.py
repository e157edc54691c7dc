"""The rows of a dataset: searched, filtered by domain, paged, and one of them read beside the table."""

import math
from typing import Any

import streamlit as st

from core.data.errors import UserError
from core.data.filters import RowFilter
from core.exploring.dataset_rows import dataset_page, dataset_row
from core.store import Store
from ui.kit.filter_controls import FilterControls
from ui.kit.tables import open_by_number, show_selectable
from ui.kit.widgets import conversation, duplicates_text, show_error
from ui.plain_text import escaped

_PAGE_ROWS = 25
_OPEN_ROW = "data_row"


def show_dataset_rows(store: Store, dataset: dict[str, Any]) -> None:
    """Draw the rows of a dataset (`core.workspace.status.dataset_overview`); a change reruns only this part."""

    @st.fragment
    def show() -> None:
        try:
            _show(store, dataset)
        except UserError as error:
            show_error(error)

    show()


def _show(store: Store, dataset: dict[str, Any]) -> None:
    controls = FilterControls(f"data_{dataset['name']}", {"persist_state": "session"})
    words, kind, place, domains = st.columns([3, 2, 2, 3], vertical_alignment="bottom")
    controls.words(words)
    controls.search_options(kind, place)
    controls.domains(domains, dataset["domains"])
    row_filter = controls.read("learnability")
    name, search = str(dataset["name"]), row_filter.search
    asked = hash((name, row_filter))  # a new query starts at page 1
    page = int(st.session_state.get(f"data_page_{asked}") or 1)
    frame, total = dataset_page(store, name, row_filter.domains, search, page, _PAGE_ROWS)
    if not total:
        _show_no_rows(dataset, row_filter, controls)
        return
    table, panel = st.columns([5, 4], gap="medium")
    numbers = [int(number) for number in frame["row_number"]]
    with table:
        show_selectable(
            frame, numbers, "data_rows", open_by_number(_OPEN_ROW), height=440,
            column_config={
                "row_number": st.column_config.NumberColumn("Row", format="localized", width=60),
                "domain": st.column_config.TextColumn("Domain", width=80),
                "prompt": st.column_config.TextColumn("Prompt", width=150),
                "response": st.column_config.TextColumn("Response", width=150),
            },
        )  # fmt: skip
        first = (page - 1) * _PAGE_ROWS + 1
        of = f"{total:,} of {dataset['rows']:,} rows match" if row_filter.conditions() else f"{total:,} rows"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Rows {first:,} to {first + len(frame) - 1:,}; {of}.", width="content")
            if total > _PAGE_ROWS:
                st.pagination(math.ceil(total / _PAGE_ROWS), key=f"data_page_{asked}")
    opened = st.session_state.get(_OPEN_ROW)
    with panel:
        _show_row(dataset_row(store, name, opened if opened in numbers else numbers[0]))


def _show_row(found: dict[str, Any]) -> None:
    with st.container(border=True, height=500):
        st.markdown(f"**Row {found['row_number']:,}** · {escaped(found['domain'])}")
        conversation(found["example"])
        st.caption(escaped(f"{found['source']}, line {found['line']:,}"))
        if duplicates := duplicates_text(found):
            st.caption(duplicates)


def _show_no_rows(dataset: dict[str, Any], row_filter: RowFilter, controls: FilterControls) -> None:
    def clear() -> None:
        st.session_state[controls.key("text")] = ""
        st.session_state[controls.key("domains")] = []

    if not row_filter.conditions():
        st.info("This dataset has no rows. Import a file into it.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(f"None of the {dataset['rows']:,} rows matches the search and the domains chosen.")
        st.button("Clear the search", key="clear_search", on_click=clear)
