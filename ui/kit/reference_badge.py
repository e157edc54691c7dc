"""A badge that says which kind of reference a run has."""

from typing import Any, Literal

import streamlit as st

from core.scoring.reference_kind import CROSS_FITTED, IN_SAMPLE, OUT_OF_SAMPLE, UNKNOWN, reference_kind
from core.store import Store
from ui.plain_text import escaped

_Colour = Literal["green", "orange", "blue", "gray"]
_COLOURS: dict[str, _Colour] = {CROSS_FITTED: "green", OUT_OF_SAMPLE: "blue", IN_SAMPLE: "orange", UNKNOWN: "gray"}


def show_reference_badge(store: Store, run: str | dict[str, Any]) -> None:
    """Draw the badge of a run, given its name or as `Store.run` returns it."""
    found = reference_kind(store, store.run(run) if isinstance(run, str) else run)
    st.badge(escaped(found.sentence), color=_COLOURS[found.kind], help=escaped(found.meaning))
