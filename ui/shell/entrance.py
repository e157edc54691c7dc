"""The entrance: nobody gets past it to a page who was not let in; who was sees as whom, and can log out."""

import streamlit as st

from core.data.errors import ServerOpen
from ui.plain_text import escaped
from ui.shell.access import LISTS, Role, Visitor, visitor
from ui.shell.closed_server import check_closed


def require_login() -> Visitor:
    """Who looks at this page; ends the page with a sentence, and a login, for everybody else. First call of a page."""
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


def show_who_is_in(who: Visitor) -> None:
    """The person's e-mail and role with a way out, where there is a login."""
    if who.email is None:
        return
    allowed = LISTS[who.role.name.lower()]
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key="who_is_in"):
        st.text(f"{who.email} {allowed}", width="content")
        st.button("Log out", key="log_out", type="tertiary", on_click=st.logout)
    if who.role is Role.LOOK:
        st.caption("Importing, scoring, saving, exporting and removing are left to people who may run.")


def _offer_login(who: Visitor) -> None:
    with st.container(border=True, key="entrance"):
        st.text(who.refusal)
        if who.email is None:
            st.button("Log in", key="log_in", type="primary", on_click=st.login)
        else:
            st.button("Log out", key="log_out", on_click=st.logout)
