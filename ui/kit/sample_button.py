"""A button for a quick look at a large dataset: a sample of it, to be scored first."""

import streamlit as st

from core.data.errors import UserError
from core.store.sampling import SAMPLE_ROWS, sample_dataset
from ui.kit.widgets import go_to_page, show_error
from ui.shell.access import may_run
from ui.shell.session import Session, remember


def sample_button(session: Session, dataset: str, rows: int) -> None:
    """Copies random rows of a dataset to one of its own and goes on to Score. Drawn only for a dataset that has more
    rows than a sample, and for people who may do it."""
    if rows <= SAMPLE_ROWS or not may_run():
        return
    if st.button(
        f"Quick look at {SAMPLE_ROWS:,} rows",
        key=f"sample_{dataset}",
        help="Copies random rows, the same share of each domain, to a dataset of its own, to be scored first.",
    ):
        try:
            remember("dataset", sample_dataset(session.store, dataset))
        except UserError as error:
            show_error(error)
        else:
            go_to_page("score")
