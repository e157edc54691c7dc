"""Saved selections on the Select page: what there is, and renaming, duplicating, loading, and deleting with undo."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from core.data.errors import UserError
from core.selection.saved import (
    RemovedSelection,
    duplicate_selection,
    remove_selection,
    rename_selection,
    restore_selection,
    saved_selections,
)
from core.store import Store
from ui.kit.tables import COUNT, show_selectable
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, forget, remember, remembered

_CHOSEN, _NEW_NAME = "manage_selection", "manage_name"
_MESSAGE, _FAILURE, _REMOVED = "selections_message", "selections_failure", "selections_removed"


def show_saved_selections(session: Session, load: Callable[[str], None]) -> list[str]:
    """The table and the actions on one of them; `load` puts one into the form. Returns their names, newest first."""
    found = saved_selections(session.store)
    _say_what_was_done(session.store)
    if found.empty:
        st.info("Nothing is saved yet. Under Choose, say how much to keep, and save it under a name.")
        return []
    names = [str(name) for name in found["name"]]
    _show_table(found)
    _show_actions(session.store, names, load)
    return names


def chosen_name(label: str, names: list[str], key: str, meaning: str, start: int = 0) -> str:
    """A select box of saved selections that survives what happened to the one it held."""
    if st.session_state.get(key) not in names:
        st.session_state[key] = names[start]
    return str(st.selectbox(label, names, key=key, help=meaning, persist_state="session"))


def _show_table(found: pd.DataFrame) -> None:
    names = found["name"].tolist()

    def choose(name: str | None) -> None:
        if name is not None:
            st.session_state[_CHOSEN] = name

    labels = {"name": "Name", "run": "Run", "kept_rows": "Rows", "kept_tokens": "Tokens", "saved_at": "Saved"}
    saved_at = st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", help="In your time zone.")
    config = {"Rows": COUNT, "Tokens": COUNT, "Saved": saved_at}
    show_selectable(found.rename(columns=labels), names, "selections", choose, column_config=config)
    st.caption("Rows and tokens as of saving. Select one to rename, duplicate, load or delete it.")


def _show_actions(store: Store, names: list[str], load: Callable[[str], None]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = chosen_name("Selection", names, _CHOSEN, "The one that the buttons act on.")
        st.text_input(
            "New name", key=_NEW_NAME, placeholder="For renaming", help="What the selection shall be called.",
        )  # fmt: skip
        for label, act, meaning in (
            ("Rename", _rename, "Gives it the new name; its recipe and its exports stay as they are."),
            ("Duplicate", _duplicate, "Saves the same recipe once more, to change the copy."),
            ("Delete", _delete, "Forgets the recipe; it can be undone. Files exported from it stay."),
        ):
            key = f"selection_{label.lower()}"
            closed = not may_run()
            st.button(label, key=key, help=meaning, on_click=_acted, args=(act, store, chosen), disabled=closed)
        st.button(
            "Load into the form", key="selection_load", help="Sets every control under Choose to this recipe.",
            on_click=load, args=(chosen,),
        )  # fmt: skip


def _say_what_was_done(store: Store) -> None:
    """The outcome of the last action, and the way back from a deletion until something else is done."""
    if failure := st.session_state.pop(_FAILURE, None):
        show_error(failure)
    if message := st.session_state.pop(_MESSAGE, None):
        st.success(escaped(message))
    removed: RemovedSelection | None = remembered(_REMOVED)
    if removed is not None:
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.text(f"'{removed.name}' was deleted.", width="content")
            st.button(
                "Undo", key="selection_undo", on_click=_acted, args=(_undo, store, removed.name),
                help="Saves the same recipe under its name again.",
            )  # fmt: skip


def _acted(act: Callable[[Store, str], None], store: Store, name: str) -> None:
    """Callback of the buttons: the page is drawn after what they did."""
    try:
        act(store, name)
    except UserError as error:
        st.session_state[_FAILURE] = error


def _rename(store: Store, name: str) -> None:
    new_name = rename_selection(store, name, st.session_state.get(_NEW_NAME) or "")
    st.session_state[_CHOSEN], st.session_state[_NEW_NAME] = new_name, ""
    _done(f"'{name}' is now called '{new_name}'.")


def _duplicate(store: Store, name: str) -> None:
    copy = duplicate_selection(store, name)
    st.session_state[_CHOSEN] = copy
    _done(f"'{name}' was saved once more as '{copy}'.")


def _delete(store: Store, name: str) -> None:
    removed = remove_selection(store, name)
    remember(_REMOVED, removed)


def _undo(store: Store, name: str) -> None:
    removed: RemovedSelection | None = remembered(_REMOVED)
    if removed is not None and removed.name == name:
        restore_selection(store, removed)
        st.session_state[_CHOSEN] = name
        _done(f"'{name}' is back.")


def _done(message: str) -> None:
    forget(_REMOVED)
    st.session_state[_MESSAGE] = message
