"""Evidence: is a run's score memory, length or noise, does selecting by it beat random rows, and how do runs differ?"""

import streamlit as st

from core.data.errors import UserError
from ui.compare.compare_view import show_comparison
from ui.evidence.evidence_view import show_evidence
from ui.kit.status_line import show_run_line
from ui.kit.widgets import open_linked_tab, show_error
from ui.shell.session import Session, open_session

VIEWS = {"Verdicts": show_evidence, "Compare runs": show_comparison}


def evidence(session: Session) -> None:
    """The whole page."""
    run = show_run_line(session, "evidence")
    if run is None:
        return
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
