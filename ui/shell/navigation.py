"""The pages, their addresses, and where old addresses lead."""

from collections.abc import Callable
from typing import NoReturn

import streamlit as st
from streamlit.navigation.page import Page

HOME = "home"
PAGES = ("home", "data", "score", "curate", "evidence", "export")
"""In the order of the navigation. Each is `pages/<name>_page.py`; the first is also the root address."""
OLD = {"start": "home", "compare": "evidence", "explore": "curate", "select": "curate"}
"""Addresses of earlier versions, and the page that each leads to, with its query parameters."""
_VIEWS = {"compare": {"evidence": "Compare runs"}}
"""Query parameters that open the view which was a page of its own."""


def navigation() -> Page:
    """Draw the navigation; returns the page that was asked for."""
    pages = {
        name: st.Page(f"pages/{name}_page.py", title=name.capitalize(), url_path=f"{name}-page", default=True)
        if name == HOME
        else st.Page(f"pages/{name}_page.py", title=name.capitalize(), url_path=name)
        for name in PAGES
    }
    # Streamlit serves its default page at the root alone, so the page's own address leads there as an old one does.
    old = [
        st.Page(
            _leading_to(pages[page], _VIEWS.get(address, {})),
            title=page.capitalize(),
            url_path=address,
            visibility="hidden",
        )
        for address, page in {HOME: HOME, **OLD}.items()
    ]
    return st.navigation([*pages.values(), *old], position="top")


def _leading_to(page: Page, view: dict[str, str]) -> Callable[[], None]:
    def lead_on() -> NoReturn:
        given = {name: st.query_params.get_all(name) for name in st.query_params}
        st.switch_page(page, query_params={**given, **view})

    return lead_on
