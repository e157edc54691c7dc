"""Datasets that no run has scored yet, with a link to do so."""

from typing import Any

import streamlit as st

from core.data.errors import UserError
from core.store.sampling import SAMPLE_ROWS, sample_dataset
from core.workspace.status import dataset_overview
from ui.kit.widgets import go_to_page, link_to_page, show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, remember

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
        if (
            dataset["rows"] > SAMPLE_ROWS
            and may_run()
            and st.button(
                f"Quick look at {SAMPLE_ROWS:,} rows",
                key=f"sample_{name}",
                help="Copies random rows, the same share of each domain, to a dataset of its own, to be scored first.",
            )
        ):
            _take_sample(session, name)


def _take_sample(session: Session, dataset: str) -> None:
    try:
        remember("dataset", sample_dataset(session.store, dataset))
    except UserError as error:
        show_error(error)
    else:
        go_to_page("score")
