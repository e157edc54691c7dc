"""Select: how much to keep of each domain, what that keeps and drops, hand picks, and recipes saved under a name."""

from collections.abc import Callable

import streamlit as st

from core.data.errors import UserError
from core.selection import (
    ScoredRun,
    Selection,
    Summary,
    save_selection,
    saved_selection,
    saved_selection_names,
    scored_run,
    select_summary,
    selection_profile,
)
from core.selection.budgets import POOL
from core.store import Store
from ui.curate.amount_form import Readout
from ui.curate.recipe_form import put_into_form, recipe_form
from ui.curate.saved_selections import chosen_name, show_saved_selections
from ui.curate.selection_comparison import show_comparison
from ui.curate.selection_views import show_cut, show_distribution, show_domains, show_profile
from ui.curate.trial_curve import show_trial_curve
from ui.kit.evidence_line import show_evidence_line
from ui.kit.guide import show_guide
from ui.kit.hand_picks import show_hand_picks
from ui.kit.reference_badge import show_reference_badge
from ui.kit.widgets import link_to_page, open_linked_tab, run_picker, show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.entrance import require_login
from ui.shell.session import Session, open_session

TABS = ("New selection", "Saved selections")
# The totals stay visible while the controls next to them scroll.
_STICKY_RESULT = (
    "<style>.stColumn:has(> * > * > .st-key-result) { position: sticky; top: 4.5rem; align-self: flex-start; } "
    ".st-key-result { max-height: calc(100vh - 5.5rem); overflow-y: auto; }</style>"
)


def select() -> None:
    """The whole page."""
    st.header("Select")
    session = open_session()
    show_guide(session, "select")
    open_linked_tab("tab", TABS)
    choose, saved = st.tabs(TABS, key="tab", on_change="rerun", bind="query-params")
    if choose.open:  # a closed tab runs no query
        with choose:
            show_choice(session)
    if saved.open:
        with saved:
            names = show_saved_selections(session, lambda name: load(session.store, name))
            if names:
                show_comparison(session.store, names)


def show_choice(session: Session) -> None:
    """The run, the recipe form, and the resulting selection."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container():
            name = run_picker(session)
        if name is not None:
            load_form(session.store)
    if failure := st.session_state.pop("load_failure", None):
        show_error(failure)
    if name is None:
        return
    show_reference_badge(session.store, name)
    st.html(_STICKY_RESULT)
    show_recipe(session, name)


@st.fragment
def show_recipe(session: Session, name: str) -> None:
    """The recipe form and its result. A fragment, so that moving a slider reruns only this part."""
    require_login()
    try:
        run = scored_run(session.store, name)
        controls, right = st.columns([5, 3], gap="large")
        with controls:
            above_amounts = st.container()
            selection, readouts, below_amounts = recipe_form(session.store, run)
        with above_amounts:
            show_trial_curve(session.workspace, selection, sum(rows for rows, _ in run.totals.values()))
        result = right.container(key="result", border=True)
        try:
            summary = select_summary(session.store, selection, run)
        except UserError as error:
            with result:
                show_error(error)
            return
        fill_readouts(readouts, summary)
        with below_amounts:
            show_profile(selection_profile(session.store, selection, run))
        with result:
            show_totals(summary)
            show_evidence_line(session.workspace, selection)
            save_form(session.store, selection, summary)
        show_views(session, run, selection, summary)
    except UserError as error:
        show_error(error)


def fill_readouts(readouts: dict[str, Readout], summary: Summary) -> None:
    """Write the selected rows and tokens next to each amount control."""
    all_rows = (POOL, summary.kept_rows, summary.rows, summary.kept_tokens, summary.tokens)
    parts = summary.domains[["domain", "kept_rows", "rows", "kept_tokens", "tokens"]].itertuples(index=False)
    for name, kept_rows, rows, kept_tokens, tokens in (all_rows, *parts):
        if name in readouts:
            counts = f"{kept_rows:,} of {rows:,} rows, {kept_tokens:,} of {tokens:,} tokens"
            readouts[name].place.text(readouts[name].before + counts)


def show_totals(summary: Summary) -> None:
    """Rows and tokens selected and not selected, and warnings about amounts that could not be met."""
    st.markdown("#### Result")
    figures = {
        "Rows selected": (summary.kept_rows, summary.rows),
        "Rows not selected": (summary.dropped_rows, summary.rows),
        "Scored tokens selected": (summary.kept_tokens, summary.tokens),
        "Scored tokens not selected": (summary.dropped_tokens, summary.tokens),
    }
    for start in (0, 2):
        for column, label in zip(st.columns(2), list(figures)[start : start + 2], strict=True):
            count, whole = figures[label]
            column.metric(label, f"{count:,}")
            column.caption(f"{count / whole:.1%} of {whole:,}" if whole else "of 0")
    if summary.picked_rows:
        st.caption(f"Selected by hand: {summary.picked_rows:,} of these rows.")
    for notice in summary.notices:
        st.warning(escaped(notice))


def show_views(session: Session, run: ScoredRun, selection: Selection, summary: Summary) -> None:
    """Details of the selection in tabs; a closed tab runs no query."""
    views: dict[str, Callable[[], None]] = {
        "By domain": lambda: show_domains(selection, summary),
        "Score distribution": lambda: show_distribution(session.store, run, selection, summary),
        "Rows at the cut-off": lambda: show_cut(session, run, selection),
        "Hand picks": lambda: show_hand_picks(session, run, selection.score),
    }
    renamed = {"Score and cut": "Score distribution", "Just inside and outside": "Rows at the cut-off"}
    open_linked_tab("shown", views, renamed)
    tabs = st.tabs(list(views), key="shown", on_change="rerun", bind="query-params")
    for tab, show in zip(tabs, views.values(), strict=True):
        if tab.open:
            with tab:
                show()


def load_form(store: Store) -> None:
    """Load a saved recipe into the controls. Drawn first, because it also sets the run."""
    names = saved_selection_names(store)
    if not names:
        return
    with st.container():
        name = chosen_name("Saved selection", names, "saved_selection", "A saved selection to load into the form.")
    st.button(
        "Load", key="load_selection", on_click=load, args=(store, name),
        help="Sets all controls below and the hand picks to this selection.",
    )  # fmt: skip


def load(store: Store, name: str) -> None:
    """Callback of the load buttons: sets the controls before they are drawn."""
    try:
        put_into_form(store, saved_selection(store, name))
    except UserError as error:
        st.session_state["load_failure"] = error
    st.session_state["tab"] = TABS[0]


def save_form(store: Store, selection: Selection, summary: Summary) -> None:
    """Save the recipe under a name."""
    with st.form("save_selection", border=False):
        name = st.text_input(
            "Name", key="selection_name", placeholder="Needed for export",
            help="Saves the recipe, not the rows. The same recipe on the same losses always selects the same rows.",
        )  # fmt: skip
        replace = st.checkbox(
            "Overwrite if the name exists", key="replace_selection", help="If off, an existing name gives an error."
        )
        pressed = st.form_submit_button("Save selection", type="primary", disabled=not may_run())
    if pressed:
        try:
            save_selection(store, name, selection, replace, summary)
        except UserError as error:
            show_error(error)
            return
        # The list of saved names above was drawn before this save.
        st.session_state["just_saved"] = name.strip()
        st.rerun()
    if saved := st.session_state.pop("just_saved", None):
        st.success(escaped(f"Saved as '{saved}'."))
        link_to_page("export", "Export it")


try:
    select()
except UserError as error:
    show_error(error)
