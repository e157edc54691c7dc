"""The row dialog: a row's text, numbers and tokens, and whether saved selections include it."""

import streamlit as st

from core.data.errors import UserError
from core.exploring.browsing import example
from core.selection import row_outcome, saved_selection, selections_of_run
from core.store import Store
from ui.curate.rows_table import close_row
from ui.curate.token_view import show_token_view
from ui.kit.hand_picks import pick_buttons
from ui.kit.widgets import example_card, show_error
from ui.plain_text import escaped
from ui.shell.session import Session

_SELECTIONS_SHOWN = 5


def open_row(session: Session, run: str, row_number: int, page_rows: list[int]) -> None:
    """Open a row in a dialog. `page_rows`: row numbers on the current table page, for the step buttons."""

    @st.dialog(f"Row {row_number:,}", width="large", on_dismiss=close_row)
    def show() -> None:
        try:
            _show_row(session, run, row_number, page_rows)
        except UserError as error:
            show_error(error)

    show()


def _show_row(session: Session, run: str, row_number: int, page_rows: list[int]) -> None:
    found = example(session.store, str(session.store.run(run)["table"]), row_number)
    _step_buttons(row_number, page_rows)
    st.markdown("#### Selections")
    _show_outcomes(session.store, run, row_number)
    pick_buttons(session, run, str(found["example_id"]), row_number)
    st.markdown("#### Tokens")
    show_token_view(session, run, row_number)
    st.markdown("#### Text and numbers")
    example_card(found)


def _step_buttons(row_number: int, page_rows: list[int]) -> None:
    """Buttons to the previous and next row of the current table page."""
    if row_number not in page_rows:
        return
    place = page_rows.index(row_number)
    with st.container(horizontal=True):
        for label, other, shortcut in (("Previous", place - 1, "Alt+Left"), ("Next", place + 1, "Alt+Right")):
            if st.button(label, key=f"row_{label}", disabled=not 0 <= other < len(page_rows), shortcut=shortcut):
                st.session_state["open_next"] = page_rows[other]
                st.rerun()


def take_step() -> None:
    """Open the row that a step button requested. Call before the row number field is drawn."""
    if (asked := st.session_state.pop("open_next", None)) is not None:
        st.session_state["example"] = asked


def _show_outcomes(store: Store, run: str, row_number: int) -> None:
    """The row's outcome in each saved selection of this run, newest first."""
    names = selections_of_run(store, run)
    for name in names[:_SELECTIONS_SHOWN]:
        try:
            selection = saved_selection(store, name)
            outcome = row_outcome(store, selection, row_number).sentence(selection)
        except UserError as error:
            outcome = str(error)
        st.markdown(f"**{escaped(name)}** · {escaped(outcome)}")
    if len(names) > _SELECTIONS_SHOWN:
        st.caption(f"The newest {_SELECTIONS_SHOWN} of {len(names):,} saved selections of this run.")
    if not names:
        st.caption("No saved selection of this run. Save one on the Select page to see whether it includes this row.")
