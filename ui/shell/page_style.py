"""The one change to Streamlit's own look: less empty space above a page's title."""

import streamlit as st

_STYLE = "<style>.stMainBlockContainer { padding-top: 4.75rem; }</style>"


def apply_page_style() -> None:
    """Call once a page run."""
    st.html(_STYLE)
