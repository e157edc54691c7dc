"""The session: how a page gets at the workspace, and sole owner of Streamlit's state, links and caches."""

import threading
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core import settings
from core.errors import CurationError
from core.store import Store

_OPEN: dict[Path, Store] = {}
_OPEN_LOCK = threading.Lock()
# A plain module variable, not st.cache_resource: "Clear caches" in any browser would close the store under all others.


@dataclass(frozen=True, slots=True)
class Session:
    """What every page starts from."""

    workspace: Path
    store: Store


def open_session() -> Session:
    """The session of this page run; stops the page with one sentence if the workspace cannot be opened."""
    workspace = settings.workspace_path()
    try:
        with _OPEN_LOCK:
            if workspace not in _OPEN:
                _OPEN[workspace] = Store.open(workspace, "the dashboard")
    except CurationError as error:
        st.error(str(error))
        st.stop()
    return Session(workspace, _OPEN[workspace])
