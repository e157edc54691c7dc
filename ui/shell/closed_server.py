"""Checks that only people with access can reach the server: before it starts, and again on every page."""

from ipaddress import ip_address
from typing import Any

import streamlit as st

from core.data import settings
from core.data.errors import ServerOpen
from ui.shell.access import login_is_configured

_PROTECTIONS = {
    "server.enableXsrfProtection": "other web pages could upload files to it",
    "server.enableCORS": "other web pages could read it",
}
_ANYWAY = "To serve it anyway, set LOBASS_ALLOW_OPEN=1; everyone who can reach it can then use it."


def check_closed() -> None:
    """Raise `ServerOpen` if people without access could reach the dashboard, unless LOBASS_ALLOW_OPEN is set."""
    objection = _objection()
    if objection and not settings.integer("allow_open"):
        raise ServerOpen(f"{objection} {_ANYWAY}")


def _objection() -> str | None:
    """The first security problem found, with what to do about it; None if there is none."""
    address: str | None = st.get_option("server.address")
    if not is_loopback(address) and not login_is_configured():
        where = f"on {address}" if address else "on every address of this machine"
        return (
            f"The dashboard would listen {where}, reachable from other machines and without a login. "
            "Listen on 127.0.0.1, or set up a login (docs/deployment.md)."
        )
    for option, what in _PROTECTIONS.items():
        if not st.get_option(option):
            return f"{option} is off, so {what}. Turn it on."
    hosts: Any = st.get_option("server.allowedHosts")
    if not hosts or "*" in [str(host).strip() for host in hosts]:
        return (
            "server.allowedHosts lists no host, so other web pages could reach the dashboard by DNS rebinding. "
            "List the host names it is served under."
        )
    return None


def is_loopback(address: str | None) -> bool:
    """Whether only this machine can reach a server at that address. None means all addresses."""
    if not address:
        return False
    if address == "localhost" or address.startswith("unix://"):
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
