"""Our changes to Streamlit's style: a low navigation bar, and the page's own line directly under it."""

import streamlit as st

_STYLE = """<style>
.stAppHeader { height: 3rem; min-height: 3rem; }
.stMainBlockContainer { padding: 3.25rem 2rem 3rem; }
.stMainBlockContainer > .stVerticalBlock { gap: 0.75rem; }
.st-key-status_line h2 { font-size: 1.2rem; padding: 0; }
.st-key-status_line .stProgress p { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.st-key-status_line .stCaptionContainer, .st-key-status_line .stMarkdown { margin-bottom: 0; }
</style>"""


def apply_page_style() -> None:
    """Call once per page run."""
    st.html(_STYLE)
