"""The demo button of an empty workspace, and what it says while the demo runs."""

import streamlit as st

from core.data.errors import UserError
from core.workspace.demo import NAME, begin_demo
from ui.kit.job_view import active_jobs
from ui.kit.widgets import link_to_page, show_error
from ui.shell.session import Session


def offer_demo(session: Session) -> None:
    """For a workspace without data: what the tool does, and a button that shows it on live models."""
    with st.container(border=True):
        st.subheader("See it work first")
        st.text(
            "Which of your fine-tuning data will this model actually learn from? The demo answers it for 1,000 "
            "examples in three domains: it trains a small reference model on them and scores each with both models, "
            "live on this machine. It takes about two minutes and needs no network."
        )
        _demo_button(session, "Run the demo")


def show_demo_result(session: Session, datasets: list[str]) -> None:
    """Where to go once the demo is scored, or how to go on with it where it was stopped.

    Silent while it runs, and as soon as there is data of one's own.
    """
    if datasets != [NAME] or active_jobs(session):
        return
    scored = session.store.rows("SELECT 1 FROM run WHERE name = ?", [NAME])
    with st.container(border=True):
        if scored:
            st.text("The demo is scored. See how learnability is distributed in its three domains.")
            link_to_page("explore", "Explore the demo")
        else:
            st.text("The demo was stopped before it was scored.")
            _demo_button(session, "Go on with the demo")


def _demo_button(session: Session, label: str) -> None:
    if st.button(label, type="primary"):
        try:
            begin_demo(session.store)
        except UserError as error:
            show_error(error)
        else:
            st.rerun()
