"""A card of the Evidence page: the question, its verdict, and below it what the verdict rests on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from core.evidence.verdicts import Standing, Verdict
from ui.plain_text import escaped

_BOXES = {Standing.FINE: st.success, Standing.CAUTION: st.warning, Standing.UNKNOWN: st.info}


@contextmanager
def verdict_card(verdict: Verdict) -> Iterator[None]:
    """A card that begins with the verdict; what is drawn inside the context comes below."""
    with st.container(border=True, key=f"card_{verdict.question.strip('?').split()[-1].lower()}"):
        st.markdown(f"#### {escaped(verdict.question)}")
        _BOXES[verdict.standing](escaped(verdict.answer))
        yield


def show_sentences(sentences: Sequence[str]) -> None:
    """Sentences as a list."""
    if sentences:
        st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in sentences))
