"""The session: access to the workspace, and values kept across the pages of one browser session."""

import atexit
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from core.data import settings
from core.data.errors import UserError
from core.scoring.tokens.losses import TokenScorer
from core.store import Store
from core.store.drafts import Drafts
from core.store.page_queries import find_askers_with
from core.system.permission import check_changes_with, on_own_account
from core.workspace.answering import Answering
from core.workspace.first_view import FirstView
from core.workspace.supervisor_thread import Supervisor
from ui.plain_text import escaped
from ui.shell.access import require_run
from ui.shell.entrance import require_login
from ui.shell.page_queries import page_asker
from ui.shell.staged_files import remove_leftovers

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Session:
    """What every page starts from."""

    workspace: Path
    store: Store
    tokens: TokenScorer
    drafts: Drafts


check_changes_with(require_run)
find_askers_with(page_asker)
_OPEN: dict[Path, tuple[Session, Supervisor, Answering, FirstView]] = {}
_OPEN_LOCK = threading.Lock()
# A module variable, not st.cache_resource: "Clear caches" in one browser would close the store for all others.


def open_session() -> Session:
    """The session of this page run. Stops the page with an error if the workspace cannot be opened.

    Warnings found when it was opened (missing losses, a clock set back) are shown on every page until the next start,
    those on jobs that cannot be taken in until they can.
    """
    require_login()
    workspace = settings.workspace_path()
    try:
        with _OPEN_LOCK, on_own_account():
            if workspace not in _OPEN:
                _OPEN[workspace] = _open(workspace)
    except UserError as error:
        st.error(escaped(str(error)))
        st.stop()
    session, supervisor, answering, _ = _OPEN[workspace]
    for notice in filter(None, (*supervisor.notices, answering.trouble)):
        st.warning(escaped(notice))
    return session


def close_sessions() -> None:
    """Close every open workspace. For tests, which open many in one process."""
    with _OPEN_LOCK:
        for session, supervisor, answering, first_view in _OPEN.values():
            first_view.stop()
            answering.stop()
            supervisor.stop()
            session.tokens.close()
            session.store.close()
        _OPEN.clear()


atexit.register(close_sessions)


def _open(workspace: Path) -> tuple[Session, Supervisor, Answering, FirstView]:
    store = Store.open(workspace, "the dashboard")
    session = Session(workspace, store, TokenScorer(store), Drafts(store))
    # This process owns the store now, so uploads found there belong to a server that has ended.
    remove_leftovers(workspace)
    supervisor = Supervisor(session.store, make_room=session.tokens.release)
    supervisor.start()
    answering = Answering(session.store)
    answering.start()
    first_view = FirstView(session.store)
    first_view.start()
    return session, supervisor, answering, first_view


def remember(key: str, value: Any) -> None:
    """Keep a value for this browser session, across pages and reruns."""
    st.session_state[f"kept_{key}"] = value


def remembered(key: str, default: Any = None) -> Any:
    """A value kept with `remember`."""
    return st.session_state.get(f"kept_{key}", default)


def remembered_for(key: str, asked: Any, make: Callable[[], _Value]) -> _Value:
    """The value that `make` gave for what was `asked`, kept until something else is asked."""
    kept: tuple[Any, _Value] | None = remembered(key)
    if kept is None or kept[0] != asked:
        kept = (asked, make())
        remember(key, kept)
    return kept[1]


def forget(key: str) -> None:
    """Delete a kept value."""
    st.session_state.pop(f"kept_{key}", None)


def rerun_page() -> None:
    """For callbacks in a fragment: what changed is shown outside of it too, so that the whole page has to run."""
    st.session_state["rerun_page"] = True


def take_rerun(whole_page: bool = False) -> None:
    """Call first in a fragment, and with `whole_page` first on its page, which takes the request of `rerun_page`."""
    if st.session_state.pop("rerun_page", False) and not whole_page:
        st.rerun()
