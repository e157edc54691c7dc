"""The left side of Curate, always in sight: what the recipe keeps, its amounts and guards, and its name."""

import math

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.errors import UserError
from core.selection import (
    ScoredRun,
    Selection,
    Summary,
    save_selection,
    saved_selection,
    saved_selection_names,
    select_summary,
)
from core.selection.budgets import POOL
from core.store import Store
from ui.curate.amount_form import Readout, moved_recipe
from ui.curate.recipe_form import put_into_form, recipe_form
from ui.curate.saved_selections import chosen_name
from ui.curate.selection_views import cut_values
from ui.curate.trial_curve import show_trial_curve
from ui.kit.evidence_line import show_evidence_line
from ui.kit.widgets import link_to_page, show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, rerun_page

# The controls scroll inside themselves, and the totals stay above them.
_STYLE = """<style>
.stColumn:has(> * > * > .st-key-controls) { position: sticky; top: 3.5rem; align-self: flex-start; }
.st-key-controls { max-height: calc(100vh - 7rem); overflow-y: auto; overflow-x: hidden; padding-right: 0.5rem; }
.st-key-controls > :has(> .st-key-result) { position: sticky; top: 0; z-index: 3; }
.st-key-result { background: light-dark(#ffffff, #171614); padding-bottom: 0.25rem; }
.st-key-row_steps button { padding: 0.2rem 0.5rem; }
.st-key-result [data-testid="stMetricValue"] { font-size: 1.35rem; }
</style>"""


def show_controls(session: Session, run: ScoredRun) -> tuple[Selection, Summary] | None:
    """Draw the controls; returns the recipe and what it keeps, or None if they make none, which is said."""
    moved = _moved_totals(session.store, run)
    st.html(_STYLE)
    with st.container(key="controls", gap="small"):
        result = st.container(key="result")
        if moved:
            result = result.empty()
            show_totals(moved[1], result)
        try:
            selection, readouts = recipe_form(session.store, run)
            summary = moved[1] if moved and moved[0] == selection else select_summary(session.store, selection, run)
        except UserError as error:
            with result.container():
                show_error(error)
            load_form(session.store)
            return None
        if moved is None or selection != moved[0]:
            show_totals(summary, result)
        fill_readouts(readouts, selection, summary)
        for notice in summary.notices:
            st.warning(escaped(notice))
        show_trial_curve(session.workspace, selection, sum(rows for rows, _ in run.totals.values()))
        show_evidence_line(session.workspace, selection)
        save_form(session.store, selection, summary)
        load_form(session.store)
    return selection, summary


def _moved_totals(store: Store, run: ScoredRun) -> tuple[Selection, Summary] | None:
    """After a move of an amount: the recipe and what it keeps, to be shown before the page draws all else anew."""
    moved = moved_recipe(run.name)
    if moved is None:
        return None
    try:
        return moved, select_summary(store, moved, run)
    except UserError:
        return None  # what is wrong is said once the controls are drawn


def fill_readouts(readouts: dict[str, Readout], selection: Selection, summary: Summary) -> None:
    """Write the selected rows and tokens below each amount control, and the score of the last row selected."""
    cuts = same_decimals(cut_values(selection, summary))
    all_rows = (POOL, summary.kept_rows, summary.rows, summary.kept_tokens, summary.tokens)
    parts = summary.domains[["domain", "kept_rows", "rows", "kept_tokens", "tokens"]].itertuples(index=False)
    for name, kept_rows, rows, kept_tokens, tokens in (all_rows, *parts):
        if name in readouts:
            counts = f"{kept_rows:,} of {rows:,} rows, {kept_tokens:,} of {tokens:,} tokens"
            at = f"; cut {cuts[name]}" if name in cuts else ""
            readouts[name].place.caption(readouts[name].before + counts + at)


def same_decimals(cuts: dict[str, float]) -> dict[str, str]:
    """The cut-offs as text: the largest with three significant digits, the others with as many decimals. The chart
    beside them has more where its axis is short."""
    largest = max(map(abs, cuts.values()), default=0.0)
    places = min(12, max(0, 2 - math.floor(math.log10(largest)))) if largest else 3
    return {name: f"{value:z.{places}f}" for name, value in cuts.items()}


def show_totals(summary: Summary, place: DeltaGenerator) -> None:
    """Rows and tokens selected of all, and what is not selected, in place of what was shown there."""
    shown = place.container(gap="small")
    rows, tokens = shown.columns(2, gap="small")
    for column, label, count, whole in (
        (rows, "Rows selected", summary.kept_rows, summary.rows),
        (tokens, "Scored tokens selected", summary.kept_tokens, summary.tokens),
    ):
        with column.container(gap=None):
            st.metric(label, f"{count:,}")
            st.caption(f"{count / whole:.1%} of {whole:,}" if whole else "of 0")
    by_hand = f" Selected by hand: {summary.picked_rows:,} of these rows." if summary.picked_rows else ""
    shown.caption(f"Not selected: {summary.dropped_rows:,} rows, {summary.dropped_tokens:,} scored tokens.{by_hand}")


def load_form(store: Store) -> None:
    """Load a saved recipe into the controls."""
    names = saved_selection_names(store)
    if not names:
        return
    picker, button = st.columns([3, 2], vertical_alignment="bottom", gap="small")
    with picker:
        name = chosen_name("Saved selection", names, "saved_selection", "A saved selection to load into the form.")
    button.button(
        "Load", key="load_selection", on_click=load, args=(store, name),
        help="Sets all controls of the selection and the hand picks to this selection.",
    )  # fmt: skip


def load(store: Store, name: str) -> None:
    """Callback of the load buttons: sets the controls before they are drawn."""
    try:
        put_into_form(store, saved_selection(store, name))
    except UserError as error:
        st.session_state["load_failure"] = error
    if st.session_state.get("view") == "Saved selections":
        st.session_state["view"] = "Overview"
    rerun_page()


def save_form(store: Store, selection: Selection, summary: Summary) -> None:
    """Save the recipe under a name."""
    with st.form("save_selection", border=False):
        name_place, button = st.columns([3, 2], vertical_alignment="bottom", gap="small")
        name = name_place.text_input(
            "Name", key="selection_name", placeholder="Needed for export",
            help="Saves the recipe, not the rows. The same recipe on the same losses always selects the same rows.",
        )  # fmt: skip
        replace = st.checkbox(
            "Overwrite if the name exists", key="replace_selection", help="If off, an existing name gives an error."
        )
        with button:
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
