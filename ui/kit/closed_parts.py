"""Expanders whose content is drawn only while they are open: a closed one costs the browser nothing.

What its widgets were set to has to be kept by `persist_state` and read from the session, whether they are drawn or not.
"""

from collections.abc import Callable

import streamlit as st


def show_when_open(label: str, key: str, draw: Callable[[], None], summary: str = "") -> None:
    """An expander that calls `draw` while it is open. `summary` (trusted markdown) is in its label while it is closed:
    what is set inside. Whether it is open is in the session under `key`, and stays so while its label changes."""
    is_open = bool(st.session_state.setdefault(key, False))
    widget = f"{key}_expander"
    # With another label it is another widget, which would start closed.
    st.session_state[widget] = is_open

    def toggled() -> None:
        st.session_state[key] = st.session_state[widget]

    place = st.expander(label if is_open or not summary else f"{label}: {summary}", key=widget, on_change=toggled)
    if place.open:
        with place:
            draw()
