"""Access control: compares the login's claims with the access lists in Streamlit's secrets file.

Without `[auth]` and `[access]` in the secrets there is no login, and everyone who can reach the dashboard may do
everything. It therefore listens on loopback only (`ui.shell.closed_server`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.data.errors import NotPermitted, ServerOpen
from ui.shell.page_queries import begin_change

LISTS = {"look": "can view", "run": "can view and run"}


class Role(IntEnum):
    """What a visitor may do. Each role includes the ones before it."""

    NOTHING = 0
    LOOK = 1
    RUN = 2


@dataclass(frozen=True, slots=True)
class Visitor:
    """A user of the dashboard: role, and e-mail from the login (None without a login).

    `refusal` is the reason if the role is `NOTHING`.
    """

    role: Role
    email: str | None = None
    refusal: str = ""


def login_is_configured() -> bool:
    """Whether the secrets file configures a login. Raises `ServerOpen` if the file exists but cannot be used."""
    return bool(_secrets())


def visitor() -> Visitor:
    """The visitor of this page. Raises `ServerOpen` as `login_is_configured` does."""
    secrets = _secrets()
    if not secrets:
        return Visitor(Role.RUN)
    return judged(st.user.to_dict(), secrets["access"])


def judged(claims: Mapping[str, Any], access: Mapping[str, Any]) -> Visitor:
    """The visitor for a login's claims. Without a verified e-mail on one of the `[access]` lists: no access."""
    email = str(claims.get("email") or "").strip()
    if claims.get("is_logged_in") is not True:
        return Visitor(Role.NOTHING, None, "Log in to see this dashboard.")
    if not email:
        return Visitor(Role.NOTHING, None, "Your login provided no e-mail, which access requires.")
    if claims.get("email_verified") is not True:
        return Visitor(Role.NOTHING, email, f"Your login provider has not verified the e-mail {email}.")
    for role, name in ((Role.RUN, "run"), (Role.LOOK, "look")):
        if _folded(email) in {_folded(str(listed)) for listed in access.get(name, ())}:
            return Visitor(role, email)
    return Visitor(Role.NOTHING, email, f"{email} has no access to this dashboard. Ask its owner to add you.")


def may_run() -> bool:
    """Whether the visitor may change anything."""
    return visitor().role >= Role.RUN


def require_run() -> None:
    """Raise `NotPermitted` if the current visitor may not change anything.

    The dashboard's own threads and the command line have no visitor, so they always may. Queries of the page's run are
    not limited any more.
    """
    if get_script_run_ctx(suppress_warning=True) is not None and not may_run():
        raise NotPermitted("You can view this dashboard but not change anything. Ask its owner for the role 'run'.")
    begin_change()


def _folded(email: str) -> str:
    """In lower case if plain ASCII. Other letters can collide when folded: the Kelvin sign becomes k."""
    return email.strip().lower() if email.isascii() else email.strip()


def _secrets() -> dict[str, Any]:
    """The sections `auth` and `access`; empty without a login. Raises `ServerOpen` if only one of them is usable."""
    try:
        secrets = st.secrets.to_dict()
    except StreamlitSecretNotFoundError:
        present = [path for path in st.get_option("secrets.files") if Path(path).exists()]
        if present:
            raise ServerOpen(f"{present[0]} cannot be read, so nobody can log in. Fix the file.") from None
        return {}
    auth, access = secrets.get("auth"), secrets.get("access")
    if auth is None and access is None:
        return {}
    if not auth:
        raise ServerOpen("The secrets file has [access] but no [auth], so nobody can log in. Add the [auth] section.")
    _check_lists(access)
    return {"auth": auth, "access": access or {}}


def _check_lists(access: Any) -> None:
    lists = access if isinstance(access, dict) else {}
    sound = all(isinstance(listed, list) and all(isinstance(item, str) for item in listed) for listed in lists.values())
    if not lists or not sound or lists.keys() - LISTS:
        raise ServerOpen(
            "The secrets file has [auth] but no usable [access], so nobody has access. Add under [access]: "
            'look = ["a@example.org"], run = ["b@example.org"].'
        )
