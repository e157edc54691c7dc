"""Whether the server is closed to those who were not let in: judged before it starts, and again by every page."""

from ipaddress import ip_address
from typing import Any

import streamlit as st

from core.data import settings
from core.data.errors import ServerOpen
from ui.shell.access import login_is_configured

_PROTECTIONS = {
    "server.enableXsrfProtection": "other web pages could send it files",
    "server.enableCORS": "other web pages could read it",
}
_ANYWAY = "Or set LOBASS_ALLOW_OPEN=1 to serve it like this, and know that whoever reaches it can use it."


def check_closed() -> None:
    """Raises `ServerOpen` if people could reach the dashboard who were not let in, unless that is allowed."""
    objection = _objection()
    if objection and not settings.integer("allow_open"):
        raise ServerOpen(f"{objection} {_ANYWAY}")


def _objection() -> str | None:
    """What is open, in a sentence with what to do about it."""
    address: str | None = st.get_option("server.address")
    if not is_loopback(address) and not login_is_configured():
        where = f"on {address}" if address else "on every address of this machine"
        return (
            f"The dashboard would listen {where}, where other machines reach it, and nobody has to log in. "
            "Listen on 127.0.0.1, or set up a login (docs/deployment.md)."
        )
    for option, what in _PROTECTIONS.items():
        if not st.get_option(option):
            return f"{option} is off, so {what}. Switch it on."
    hosts: Any = st.get_option("server.allowedHosts")
    if not hosts or "*" in [str(host).strip() for host in hosts]:
        return (
            "server.allowedHosts names no host, so a web page could reach the dashboard under a name of its own. "
            "Name the hosts it is served as."
        )
    return None


def is_loopback(address: str | None) -> bool:
    """Whether only this machine reaches a server at that address. None means every address."""
    if not address:
        return False
    if address == "localhost" or address.startswith("unix://"):
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
