"""Login: pages stop here unless the visitor has access; shows the visitor's e-mail and a logout button."""

import streamlit as st

from core.data.errors import ServerOpen
from ui.plain_text import escaped
from ui.shell.access import LISTS, Role, Visitor, visitor
from ui.shell.closed_server import check_closed
from ui.shell.media_addresses import hide_media_addresses

hide_media_addresses()


def require_login() -> Visitor:
    """The visitor of this page. Stops the page with a message and a login button if they have no access.

    The first call of every page.
    """
    try:
        check_closed()
        who = visitor()
    except ServerOpen as error:
        st.error(escaped(str(error)))
        st.stop()
    if who.role is Role.NOTHING:
        _offer_login(who)
        st.stop()
    return who


def show_visitor(who: Visitor) -> None:
    """The visitor's e-mail, role and logout button, if a login is configured."""
    if who.email is None:
        return
    allowed = LISTS[who.role.name.lower()]
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key="visitor"):
        st.text(f"{who.email} {allowed}", width="content")
        st.button("Log out", key="log_out", type="tertiary", on_click=st.logout)
    if who.role is Role.LOOK:
        st.caption("View only: importing, scoring, saving, exporting and removing need the role 'run'.")


def _offer_login(who: Visitor) -> None:
    with st.container(border=True, key="entrance"):
        st.text(who.refusal)
        if who.email is None:
            st.button("Log in", key="log_in", type="primary", on_click=st.login)
        else:
            st.button("Log out", key="log_out", on_click=st.logout)
