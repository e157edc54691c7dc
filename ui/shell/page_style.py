"""Our changes to Streamlit's style: a low navigation bar, the page's own line directly under it, and contrasts.

Streamlit's grey texts in the light theme, and white on our blue in the dark theme, are below 4.5:1 (WCAG AA).
"""

import streamlit as st

_STYLE = """<style>
.stAppHeader { height: 3rem; min-height: 3rem; }
.stMainBlockContainer { padding: 3.25rem 2rem 3rem; }
.stMainBlockContainer > .stVerticalBlock { gap: 0.75rem; }
.st-key-status_line h2 { font-size: 1.2rem; padding: 0; }
.st-key-status_line .stProgress p { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.st-key-status_line .stCaptionContainer, .st-key-status_line .stMarkdown { margin-bottom: 0; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {
  color: light-dark(#63615f, #a9a7a4) !important;
  opacity: 1 !important;
}
button:not(:disabled) kbd { color: light-dark(#63615f, #a9a7a4) !important; opacity: 1 !important; }
.stPlotlyChart :is(.xtick, .ytick, .x2tick, .y2tick) text,
.stPlotlyChart text:is(.annotation-text, .gtitle-subtitle, .xtitle, .ytitle, .x2title, .y2title) {
  fill: light-dark(#5b5f6e, #dcdcdc) !important;
}
[data-testid^="stBaseButton-primary"]:enabled, [data-testid="stMultiSelectTagsContainer"] * {
  color: light-dark(#ffffff, #10151a) !important;
}
[data-testid^="stBaseButton-primary"]:disabled { color: light-dark(#63615f, #a9a7a4) !important; }
</style>"""


def apply_page_style() -> None:
    """Call once per page run."""
    st.html(_STYLE)
