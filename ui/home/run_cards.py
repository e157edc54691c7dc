"""A card for each of the newest runs: its figures, its evidence in one line, and its next step."""

import streamlit as st

from core.workspace.run_summaries import NextStep, RunSummary, newest_runs
from ui.kit.widgets import link_to_page
from ui.plain_text import escaped
from ui.shell.session import Session

_IN_A_ROW = 3  # cards, at most
_NEXT = {
    NextStep.SCORE: ("score", "Score its rows"),
    NextStep.SELECT: ("curate", "Choose what to keep"),
    NextStep.TRIAL: ("evidence", "Plan a trial"),
    NextStep.EXPORT: ("export", "Export the selection"),
}
"""Page and label of each next step."""


def show_run_cards(session: Session) -> None:
    """The cards, newest first, and how many older runs there are."""
    runs, count = newest_runs(session.store)
    in_a_row = min(_IN_A_ROW, max(len(runs), 2))
    for start in range(0, len(runs), in_a_row):
        for column, run in zip(st.columns(in_a_row), runs[start : start + in_a_row], strict=False):
            with column.container(border=True, height="stretch", key=f"run_card_{runs.index(run)}"):
                _show_card(run)
    if count > len(runs):
        st.caption(f"{count - len(runs):,} older runs are in the run picker of the pages.")


def _show_card(run: RunSummary) -> None:
    st.markdown(f"**{escaped(run.name)}**")
    st.caption(
        f"Dataset {escaped(run.dataset)} · base {escaped(run.base)} · reference {escaped(run.reference)}  \n"
        f"{escaped(run.reference_kind)}"
    )
    median = "none" if run.median_learnability is None else f"{run.median_learnability:.3f}"
    st.markdown(
        f"**{run.scored:,}** of {run.rows:,} rows scored, median learnability of these **{median}**",
        help="Learnability is the share of a row's base loss that fine-tuning removed.",
    )
    st.markdown(escaped(f"Selection {run.selection}. {run.evidence}" if run.selection else run.evidence))
    with st.container(horizontal=True, vertical_alignment="bottom", height="stretch"):
        page, label = _NEXT[run.next_step]
        link = {"run": run.name} if page in ("curate", "evidence") else None
        link_to_page(page, f"Next: {label}", link)
        if run.scored and page != "curate":
            link_to_page("curate", "Curate", {"run": run.name})
