"""One line of evidence about a selection: what the newest trial of it says, or that there is none."""

from pathlib import Path

import streamlit as st

from core.data.errors import UserError
from core.evidence.selection_evidence import NO_TRIAL, selection_evidence
from core.evidence.trial_statistics import BETTER
from core.selection import Selection
from ui.kit.widgets import link_to_page, show_error
from ui.plain_text import escaped


def show_evidence_line(workspace: Path, selection: Selection) -> None:
    """The line, with a link to the Evidence page."""
    try:
        found = selection_evidence(workspace, selection)
    except UserError as error:
        show_error(error)
        return
    if found is None:
        st.caption(NO_TRIAL)
        link_to_page("evidence", "Plan a trial")
        return
    icon = ":material/check_circle:" if found.verdict == BETTER else ":material/info:"
    st.markdown(f"{icon} {escaped(found.sentence)}")
    link_to_page("evidence", "See the trial")
