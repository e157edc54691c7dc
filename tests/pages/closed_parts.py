"""Opens the parts of Curate whose controls are drawn only while they are open."""

from streamlit.testing.v1 import AppTest

PARTS = ("ranking", "guards", "more")


def with_open_parts(page: AppTest) -> AppTest:
    """The page with its expanders of the recipe and its popover of filters open from the next run on."""
    for part in PARTS:
        page.session_state[part] = True
    return page
