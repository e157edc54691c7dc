"""Datasets that no run has scored yet, with a link to do so."""

from typing import Any

import streamlit as st

from core.workspace.status import dataset_overview
from ui.kit.sample_button import sample_button
from ui.kit.widgets import link_to_page
from ui.plain_text import escaped
from ui.shell.session import Session

_LISTED = 6


def show_unscored_datasets(session: Session) -> None:
    """A line for each, the first few by name."""
    scored = {
        name for (name,) in session.store.rows("SELECT DISTINCT d.name FROM run JOIN dataset d USING (dataset_id)")
    }
    waiting = [dataset for dataset in dataset_overview(session.store) if dataset["name"] not in scored]
    if not waiting:
        return
    st.markdown("#### Not scored yet")
    for dataset in waiting[:_LISTED]:
        _show_dataset(session, dataset)
    if len(waiting) > _LISTED:
        st.caption(f"{len(waiting) - _LISTED:,} more are on the Data page.")
    link_to_page("score", "Score a dataset")


def _show_dataset(session: Session, dataset: dict[str, Any]) -> None:
    """A dataset's name and size, and the way to a sample of it if it is larger than one."""
    name, domains = str(dataset["name"]), len(dataset["domains"])
    with st.container(horizontal=True, vertical_alignment="center"):
        size = f"{dataset['rows']:,} rows in {domains:,} {'domain' if domains == 1 else 'domains'}"
        st.markdown(f"**{escaped(name)}**: {size}", width="content")
        sample_button(session, name, dataset["rows"])
