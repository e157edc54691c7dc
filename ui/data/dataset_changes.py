"""Renaming, merging and removing a dataset, and undoing it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from core.data.errors import UserError
from core.store import RemovedDataset, purge_dataset, removed_datasets, restore_dataset
from core.workspace.datasets import dataset_use, merge, remove, rename
from ui.data.dataset_list import choose_dataset
from ui.kit.widgets import change_or_show_error
from ui.plain_text import escaped
from ui.shell.session import Session, forget, remember, remembered

_UNDOABLE = "dataset_undo"


def show_dataset_actions(session: Session, dataset: dict[str, Any], others: list[str]) -> None:
    """Buttons that rename, merge and remove a dataset (`core.workspace.status.dataset_overview`). `others`: names of
    the other datasets."""
    name = str(dataset["name"])
    with st.popover("Rename"):
        new = st.text_input(
            "Name", name, key=f"new_name_{name}", help="Its rows, runs and selections stay."
        ).strip()  # fmt: skip
        if st.button("Rename dataset", disabled=not new or new == name):
            change_or_show_error(lambda: _rename(session, name, new))
    if others:
        with st.popover("Merge"):
            into = st.selectbox(
                "Into", others, key=f"merge_into_{name}", help="The dataset that gets these rows at its end."
            )  # fmt: skip
            st.text(
                f"The {dataset['rows']:,} rows of {name} are added to {into}. Runs of {into} stay; their new rows have "
                f"no scores until you score it again. {name} is removed. {_used_by(session, name)}"
            )
            if st.button("Merge datasets"):
                change_or_show_error(lambda: _merge(session, name, str(into)))
    with st.popover("Remove"):
        st.text(
            f"Removes {dataset['rows']:,} rows. {_used_by(session, name)} Losses are kept. You can restore the dataset "
            "until you delete it for good."
        )
        if st.button("Remove dataset"):
            change_or_show_error(lambda: _remove(session, name))


def show_undo(session: Session) -> None:
    """What was changed last, with a button that undoes it."""
    done: tuple[str, Callable[[], object]] | None = remembered(_UNDOABLE)
    if done is None:
        return
    sentence, undo = done
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.text(sentence, width="stretch")
        if st.button("Undo", key="undo_dataset", type="primary"):
            change_or_show_error(lambda: _undo(undo))
        if st.button("Close", key="close_undo"):
            forget(_UNDOABLE)
            st.rerun()


def show_removed(session: Session) -> None:
    """Datasets that were removed and can be restored."""
    removed = removed_datasets(session.store)
    if not removed:
        return
    with st.expander(f"Removed datasets ({len(removed):,})"):
        for item in removed:
            merged = f", merged into {item.merged_into}" if item.merged_into else ""
            st.markdown(f"**{escaped(item.name)}**")
            st.caption(
                escaped(f"{item.rows:,} rows, {item.runs:,} runs, removed {item.removed_at:%d %b %Y %H:%M} UTC{merged}")
            )
            with st.container(horizontal=True):
                if st.button("Restore", key=f"restore_{item.dataset_id}"):
                    change_or_show_error(partial(_restore, session, item))
                with st.popover("Delete for good"):
                    st.text("This cannot be undone. Losses are kept.")
                    if st.button("Delete", key=f"purge_{item.dataset_id}"):
                        change_or_show_error(partial(_purge, session, item))


def _undo(undo: Callable[[], object]) -> None:
    undo()
    forget(_UNDOABLE)


def _used_by(session: Session, name: str) -> str:
    """A sentence on what goes with the dataset."""
    try:
        use = dataset_use(session.store, name)
    except UserError as error:  # another tab has removed it
        return str(error)
    gone = "With it go, until it is restored: " if use.runs else ""
    return gone + use.sentence()


def _rename(session: Session, name: str, new: str) -> None:
    rename(session.store, name, new)

    def undo() -> None:
        rename(session.store, new, name)
        choose_dataset(name)

    choose_dataset(new)
    remember(_UNDOABLE, (f"{name} is now named {new}.", undo))


def _merge(session: Session, name: str, into: str) -> None:
    dataset_id = merge(session.store, name, into)
    choose_dataset(into)
    remember(
        _UNDOABLE,
        (f"{name} was merged into {into}.", lambda: choose_dataset(restore_dataset(session.store, dataset_id))),
    )


def _remove(session: Session, name: str) -> None:
    dataset_id = remove(session.store, name)
    remember(_UNDOABLE, (f"{name} was removed.", lambda: choose_dataset(restore_dataset(session.store, dataset_id))))


def _restore(session: Session, item: RemovedDataset) -> None:
    choose_dataset(restore_dataset(session.store, item.dataset_id))
    forget(_UNDOABLE)


def _purge(session: Session, item: RemovedDataset) -> None:
    purge_dataset(session.store, item.dataset_id)
    forget(_UNDOABLE)
