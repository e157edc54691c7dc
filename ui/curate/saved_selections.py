"""Saved selections on the Curate page: the list, and rename, duplicate, load, and delete with undo."""

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
    """The table of saved selections and the actions on one. `load` loads one into the form. Returns their names,
    newest first."""
    found = saved_selections(session.store)
    _show_last_action(session.store)
    if found.empty:
        st.info("No saved selection yet. Choose amounts on the left and save one under a name.")
        return []
    names = [str(name) for name in found["name"]]
    _show_table(found)
    _show_actions(session.store, names, load)
    return names


def chosen_name(label: str, names: list[str], key: str, meaning: str, start: int = 0) -> str:
    """A select box of saved selections; falls back to another one if the chosen one was renamed or deleted."""
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
    st.caption("Rows and tokens at the time of saving. Select a row to rename, duplicate, load or delete it.")


def _show_actions(store: Store, names: list[str], load: Callable[[str], None]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = chosen_name("Selection", names, _CHOSEN, "The buttons apply to this selection.")
        st.text_input(
            "New name", key=_NEW_NAME, placeholder="For Rename", help="The new name for Rename.",
        )  # fmt: skip
        for label, act, meaning in (
            ("Rename", _rename, "Changes only the name. The recipe and its exports do not change."),
            ("Duplicate", _duplicate, "Saves a copy of the recipe."),
            ("Delete", _delete, "Deletes the recipe; you can undo this. Exported files are not deleted."),
        ):
            key = f"selection_{label.lower()}"
            closed = not may_run()
            st.button(label, key=key, help=meaning, on_click=_acted, args=(act, store, chosen), disabled=closed)
        st.button(
            "Load into the form", key="selection_load", help="Sets all controls at the left to this recipe.",
            on_click=load, args=(chosen,),
        )  # fmt: skip


def _show_last_action(store: Store) -> None:
    """The result of the last action, and an Undo button after a deletion until the next action."""
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
                help="Restores the recipe under its name.",
            )  # fmt: skip


def _acted(act: Callable[[Store, str], None], store: Store, name: str) -> None:
    """Callback of the buttons: runs the action before the page is drawn."""
    try:
        act(store, name)
    except UserError as error:
        st.session_state[_FAILURE] = error


def _rename(store: Store, name: str) -> None:
    new_name = rename_selection(store, name, st.session_state.get(_NEW_NAME) or "")
    st.session_state[_CHOSEN], st.session_state[_NEW_NAME] = new_name, ""
    _done(f"'{name}' was renamed to '{new_name}'.")


def _duplicate(store: Store, name: str) -> None:
    copy = duplicate_selection(store, name)
    st.session_state[_CHOSEN] = copy
    _done(f"'{name}' was copied to '{copy}'.")


def _delete(store: Store, name: str) -> None:
    removed = remove_selection(store, name)
    remember(_REMOVED, removed)


def _undo(store: Store, name: str) -> None:
    removed: RemovedSelection | None = remembered(_REMOVED)
    if removed is not None and removed.name == name:
        restore_selection(store, removed)
        st.session_state[_CHOSEN] = name
        _done(f"'{name}' was restored.")


def _done(message: str) -> None:
    forget(_REMOVED)
    st.session_state[_MESSAGE] = message
