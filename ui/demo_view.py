"""The demo button of an empty workspace, and what it says while the demo runs."""

import streamlit as st

from core.demo import NAME, begin_demo
from core.errors import CurationError
from ui.job_view import active_jobs
from ui.session import Session
from ui.widgets import link_to_page, show_error


def offer_demo(session: Session) -> None:
    """For a workspace without data: what the tool does, and a button that shows it on live models."""
    with st.container(border=True):
        st.subheader("See it work first")
        st.text(
            "The demo trains a small reference model on 1,000 examples in three domains and scores every example with "
            "both models, live on this machine. It takes about two minutes and needs no network."
        )
        if st.button("Run the demo", type="primary"):
            try:
                begin_demo(session.store)
            except CurationError as error:
                show_error(error)
            else:
                st.rerun()


def show_demo_result(session: Session) -> None:
    """Where to go once the demo is scored."""
    scored = session.store.rows("SELECT 1 FROM run WHERE name = ?", [NAME])
    if scored and not active_jobs(session):
        with st.container(border=True):
            st.text("The demo is scored. See how learnability is distributed in its three domains.")
            link_to_page("explore", "Explore the demo")
