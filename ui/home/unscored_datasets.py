"""Datasets that no run has scored yet, with a link to do so."""

import streamlit as st

from core.workspace.status import dataset_overview
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
        domains = len(dataset["domains"])
        st.markdown(
            f"**{escaped(dataset['name'])}**: {dataset['rows']:,} rows in {domains:,} "
            f"{'domain' if domains == 1 else 'domains'}"
        )
    if len(waiting) > _LISTED:
        st.caption(f"{len(waiting) - _LISTED:,} more are on the Data page.")
    link_to_page("score", "Score a dataset")
