"""The verdicts of a run side by side: each question, and its answer in a box whose icon says where it stands."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.evidence.verdicts import Standing, Verdict
from ui.plain_text import escaped

_BOXES = {Standing.FINE: st.success, Standing.CAUTION: st.warning, Standing.UNKNOWN: st.info}
_ICONS = {
    Standing.FINE: ":material/check_circle:",
    Standing.CAUTION: ":material/warning:",
    Standing.UNKNOWN: ":material/help:",
}
_STYLE = """<style>
.st-key-verdicts h4 { font-size: 1.1rem; padding: 0 0 0.25rem; }
.st-key-verdicts [data-testid="stAlert"] p { font-size: 0.9rem; line-height: 1.4; }
.st-key-verdicts [data-testid="stAlertContainer"] { padding: 0.6rem 0.75rem; max-height: 13rem; overflow-y: auto; }
</style>"""


def show_verdicts(verdicts: Sequence[Verdict]) -> Sequence[DeltaGenerator]:
    """All verdicts in one row; a longer answer scrolls in its box. Returns the place of each."""
    st.html(_STYLE)
    with st.container(key="verdicts"):
        columns = st.columns(len(verdicts), gap="small")
        for verdict, column in zip(verdicts, columns, strict=True):
            with column:
                st.markdown(f"#### {escaped(verdict.question)}")
                _BOXES[verdict.standing](escaped(verdict.answer), icon=_ICONS[verdict.standing])
    return columns


def show_sentences(sentences: Sequence[str]) -> None:
    """Sentences as a list."""
    if sentences:
        st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in sentences))
