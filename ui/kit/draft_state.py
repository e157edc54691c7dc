"""The draft of a selection: fills the form as its person left it, keeps every change, undoes and redoes.

`restore_draft` comes before the form is drawn, `keep_draft` after it. What the form held last is remembered in the
browser session: only what this session changed is kept, so that a tab that was left open does not undo another's
changes. A recipe that was just put into the form is not compared: the form may write it in another way.
"""

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from core.data.errors import UserError
from core.selection import DraftState, Selection
from core.selection.draft_state import CHART_FILTER, PICKS, RECIPE
from core.store.drafts import Draft
from core.system.permission import on_own_account
from ui.kit.filter_state import current_filter, set_filter
from ui.kit.hand_picks import forget_replaced_picks, has_picks, picks_of, put_picks
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.access import may_run, visitor
from ui.shell.session import Session, remember, remembered

PutRecipe = Callable[[str, Selection], None]
"""Sets a form's controls and the hand picks of a dataset (by name) to a recipe."""
_RUN, _SEEN = "draft_run", "draft_seen"
_FAILURE, _FILTER_MOVED = "draft_failure", "draft_filter_moved"
_WRITE_SECONDS = 0.05
_ASK_SECONDS = 2.0
_WAITING = "Saving the draft. The store is busy."


def restore_draft(session: Session, run: str, put: PutRecipe) -> None:
    """Fill the form with the draft of this run, if it held another run or nothing. Call it outside of fragments, before
    the filter of the charts is read. A filter in the URL takes precedence over the draft's."""
    st.session_state.pop(_FILTER_MOVED, None)
    if failure := st.session_state.pop(_FAILURE, None):
        show_error(failure)
    if remembered(_RUN) == run:
        return
    remember(_RUN, run)
    dataset = str(session.store.run(run)["dataset"])
    try:
        _restore_picks(session, dataset)
        found = session.drafts.draft(_person(), run)
        state = DraftState.from_parts(run, found.state) if found else None
    except UserError as error:
        show_error(error)
        found = state = None
    if found is None or state is None:
        remember(_SEEN, {PICKS: DraftState(Selection(run, picks=picks_of(dataset))).to_parts()[PICKS]})
        return
    if "filter" not in st.query_params:
        set_filter(state.chart_filter)
    put(dataset, replace(state.selection, picks=picks_of(dataset)))
    _remember_seen(found)


def keep_draft(session: Session, selection: Selection) -> None:
    """Save what the form holds now, if it was changed. Call it after the form was drawn."""
    if st.session_state.pop(_FILTER_MOVED, False):
        st.rerun()  # a fragment has undone a change of the filter: the charts outside follow
    now = DraftState(selection, current_filter()).to_parts()
    seen: dict[str, str] = remembered(_SEEN, {})
    remember(_SEEN, now)
    if now.items() >= seen.items() or not may_run():
        return
    # As a change of the visitor's it would lift the limits on all queries that this page still makes.
    with on_own_account():
        if session.drafts.draft(_person(), selection.run) is None:
            session.drafts.save(_person(), selection.run, now | seen)
        session.drafts.save(_person(), selection.run, now)


def form_was_set(run: str | None = None) -> None:
    """Call it when something else than the draft sets the form, such as loading a recipe of `run` (None: of the run at
    hand): what the form holds is then a change of that run's draft."""
    run = run or remembered(_RUN)
    if run is None:
        return
    seen: dict[str, str] = remembered(_SEEN, {}) if remembered(_RUN) == run else {}
    remember(_RUN, run)
    remember(_SEEN, {RECIPE: DraftState(Selection(run)).to_parts()[RECIPE]} | seen)


def show_draft(session: Session, run: str, put: PutRecipe) -> None:
    """Undo, redo, and whether the draft is saved. Call it after `keep_draft`, late, when the write has ended."""
    found = session.drafts.draft(_person(), run)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="draft"):
        # Not Ctrl+Z: Streamlit takes it from text fields too, where it takes back typing.
        for label, keys, steps, move in (
            ("Undo", "Z", found.undo_steps if found else 0, session.drafts.undo),
            ("Redo", "Shift+Z", found.redo_steps if found else 0, session.drafts.redo),
        ):
            st.button(
                label, key=f"draft_{label.lower()}", icon=f":material/{label.lower()}:", type="tertiary", shortcut=keys,
                disabled=not steps or not may_run(), help=f"{steps:,} changes of this selection can be {_DONE[label]}.",
                on_click=_move, args=(session, run, put, move),
            )  # fmt: skip
        note = _saved_note(session, run, found)
        # A write that waits for the store ends without any action of the person's.
        st.fragment(_show_note, run_every=_ASK_SECONDS if note == _WAITING else None)(session, run, found, note)


def draft_line(session: Session, run: str) -> str | None:
    """That a run has a draft, and how many changes it has; for pages that do not show it."""
    found = session.drafts.draft(_person(), run)
    if found is None or not found.undo_steps:
        return None
    return f"Draft selection: {found.undo_steps:,} change{'s' if found.undo_steps > 1 else ''}"


_DONE = {"Undo": "undone", "Redo": "redone"}


def _move(session: Session, run: str, put: PutRecipe, move: Callable[[str, str], Draft]) -> None:
    """Callback: undo or redo."""
    if not may_run():
        return
    try:
        with on_own_account():
            found = move(_person(), run)
        state = DraftState.from_parts(run, found.state)
        dataset = str(session.store.run(run)["dataset"])
    except UserError as error:
        st.session_state[_FAILURE] = error
        return
    st.session_state[_FILTER_MOVED] = state.chart_filter != current_filter()
    set_filter(state.chart_filter)
    put(dataset, state.selection)
    forget_replaced_picks()
    remember(_RUN, run)
    _remember_seen(found)


def _restore_picks(session: Session, dataset: str) -> None:
    """Hand picks belong to the dataset: those that this session has stay, else the newest draft's are taken."""
    if has_picks(dataset):
        return
    if found := session.drafts.newest(_person(), dataset):
        put_picks(dataset, DraftState.from_parts("", found.state).selection.picks)


def _remember_seen(found: Draft) -> None:
    remember(_SEEN, {part: found.state[part] for part in (PICKS, CHART_FILTER)})


def _show_note(session: Session, run: str, found: Draft | None, note: str) -> None:
    st.caption(_saved_note(session, run, found) if note == _WAITING else note, width="content")


def _saved_note(session: Session, run: str, found: Draft | None) -> str:
    if not may_run():
        return "View only: changes are not saved."
    if found is None:
        return "Changes are saved."
    try:
        is_saved = session.drafts.saved(_person(), run, _WRITE_SECONDS)
    except UserError as error:
        return escaped(f"Draft not saved. {error}")
    return "Draft saved." if is_saved else _WAITING


def _person() -> str:
    return visitor().email or ""
