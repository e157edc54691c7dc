"""Our one change to Streamlit's style: less empty space above the page title."""

import streamlit as st

_STYLE = "<style>.stMainBlockContainer { padding-top: 4.75rem; }</style>"


def apply_page_style() -> None:
    """Call once per page run."""
    st.html(_STYLE)
