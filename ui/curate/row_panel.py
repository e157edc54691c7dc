"""The row beside the list: its text first, then its pick, why it is selected or not, its tokens and its numbers."""

import streamlit as st

from core.data.errors import UserError
from core.exploring.browsing import example, pair_rows
from core.selection import ScoredRun, Selection, outcomes_of, row_outcome, saved_selection, selections_of_run
from core.store import Store
from ui.curate.token_view import show_token_view
from ui.kit.hand_picks import pick_buttons, set_pick
from ui.kit.widgets import conversation, row_numbers_card, show_error
from ui.plain_text import escaped
from ui.shell.session import Session

TURN = "rows_turn"
"""Counts the steps by key, so that the table is drawn anew with the open row marked."""
_SIDES = ("Chosen", "Rejected")
_SELECTIONS_SHOWN = 5
_TEXT_HEIGHT = 220  # pixels; a longer turn scrolls
_PANEL_HEIGHT = 560  # pixels


def show_row_panel(session: Session, run: ScoredRun, selection: Selection | None, on_page: list[int]) -> None:
    """The open row, or how to open one. `on_page`: row numbers on the current table page, for the step buttons."""
    opened = st.session_state.get("example")
    with st.container(key="row_panel", border=True, height=_PANEL_HEIGHT):
        if opened is None:
            _step_buttons(run, None, on_page)
            # No key is named here: Streamlit draws texts before buttons, and a key works once its button is drawn.
            st.caption("Select a row to read it here.")
            return
        try:
            _show_row(session, run, selection, int(opened), on_page)
        except UserError as error:
            show_error(error)


def _show_row(
    session: Session, run: ScoredRun, selection: Selection | None, row_number: int, on_page: list[int]
) -> None:
    found = example(session.store, run.table, row_number)
    example_id = str(found["example_id"])
    _step_buttons(run, (row_number, example_id), on_page)
    if selection is not None:
        outcome = outcomes_of(session.store, selection, run, [row_number])[row_number]
        icon = ":material/check_circle:" if outcome.is_kept else ":material/cancel:"
        st.markdown(f"**Row {row_number:,}** · {icon} {escaped(outcome.sentence(selection))}")
    sides = None if found["pair"] is None else pair_rows(session.store, run.table, found["pair"])
    if sides:
        _show_sides(session.store, run.table, sides)
    else:
        conversation(found["example"], _TEXT_HEIGHT)
    pick_buttons(session, run.name, example_id, row_number)
    st.markdown("##### Tokens")
    if sides:
        for side, number in zip(_SIDES, sides, strict=True):
            st.markdown(f"**{side}** · row {number:,}")
            show_token_view(session, run.name, number, side)
    else:
        show_token_view(session, run.name, row_number)
    st.markdown("##### Numbers")
    row_numbers_card(found)
    saved = st.expander("In saved selections", key="row_in_saved", on_change="rerun")
    if saved.open:  # a closed expander runs no query
        with saved:
            _show_outcomes(session.store, run.name, row_number)


def _show_sides(store: Store, table: str, sides: tuple[int, int]) -> None:
    """Both rows of a preference pair, the chosen one left."""
    for side, number, place in zip(_SIDES, sides, st.columns(2), strict=True):
        with place:
            st.markdown(f"**{side}** · row {number:,}")
            conversation(example(store, table, number)["example"], _TEXT_HEIGHT)


def _step_buttons(run: ScoredRun, opened: tuple[int, str] | None, on_page: list[int]) -> None:
    """Buttons with keys: to the previous and next row of the current table page, and to keep or drop the open row.
    `opened`: its row number and example_id."""
    number, example_id = opened or (None, "")
    with st.container(horizontal=True, gap="xsmall", key="row_steps"):
        for label, key, shortcut, step in (("Back", "row_previous", "K", -1), ("Next", "row_next", "J", 1)):
            st.button(
                label, key=key, shortcut=shortcut, disabled=_beside(number, on_page, step) is None, on_click=_open,
                args=(on_page, step), help="On this page of the table.",
            )  # fmt: skip
        for label, key, shortcut, keep in (("Keep", "row_keep", "P", True), ("Drop", "row_drop", "X", False)):
            # A key of each row: a press that comes late is for the row that was seen.
            st.button(
                label, key=f"{key}_{number}", shortcut=shortcut, disabled=opened is None, on_click=set_pick,
                args=(run.dataset, example_id, keep),
                help="A hand pick: it overrides filters and amounts. 'No pick' below removes it.",
            )  # fmt: skip


def _beside(number: int | None, on_page: list[int], step: int) -> int | None:
    """The row so many places from one; the page's first row after one that is not on the page."""
    place = on_page.index(number) + step if number in on_page else min(step, 0)
    return on_page[place] if 0 <= place < len(on_page) else None


def _open(on_page: list[int], step: int) -> None:
    other = _beside(st.session_state.get("example"), on_page, step)
    if other is not None:
        st.session_state["example"] = other
        st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


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
        st.caption("No saved selection of this run. Save one on the left to see whether it includes this row.")
