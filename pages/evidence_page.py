"""Evidence: is a run's score memory, length or noise, does selecting by it beat random rows, and how do runs differ?"""

import streamlit as st

from core.data.errors import UserError
from ui.compare.compare_view import show_comparison
from ui.evidence.evidence_view import show_evidence
from ui.kit.reference_badge import show_reference_badge
from ui.kit.widgets import open_linked_tab, run_picker, show_error
from ui.shell.session import Session, open_session

VIEWS = {"Verdicts": show_evidence, "Compare runs": show_comparison}


def evidence(session: Session) -> None:
    """The whole page."""
    st.header("Evidence")
    run = run_picker(session)
    if run is None:
        return
    show_reference_badge(session.store, run)
    open_linked_tab("evidence", VIEWS)
    tabs = st.tabs(list(VIEWS), key="evidence", on_change="rerun", bind="query-params")
    for tab, show in zip(tabs, VIEWS.values(), strict=True):
        if tab.open:  # a closed tab runs no query
            with tab:
                show(session, run)


try:
    evidence(open_session())
except UserError as error:
    show_error(error)
