"""The demo: the button in an empty workspace, and the next step once the demo has run."""

import streamlit as st

from core.workspace.demo import NAME, begin_demo
from ui.kit.job_view import active_jobs
from ui.kit.widgets import change_or_show_error, link_to_page
from ui.shell.session import Session


def offer_demo(session: Session) -> None:
    """For an empty workspace: what the tool does, and a button that runs the demo."""
    with st.container(border=True):
        st.subheader("Try the demo")
        st.text(
            "Which fine-tuning examples can this model learn from? The demo answers this for 1,000 examples in three "
            "domains: it trains two small models, each on half of them, and scores every example with the base model "
            "and with the model that never saw it. It runs on this machine, takes a few minutes and needs no network."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            _demo_button(session, "Run the demo")
            link_to_page("home", "Home opens its finished result at once")


def show_demo_result(session: Session, datasets: list[str]) -> None:
    """Link to Explore once the demo is scored, or offer to continue it if it was stopped.

    Shows nothing while a job runs, or if there are other datasets.
    """
    if datasets != [NAME] or active_jobs(session):
        return
    scored = session.store.rows("SELECT 1 FROM run WHERE name = ?", [NAME])
    with st.container(border=True):
        if scored:
            st.text("The demo is scored. See how learnability is distributed, and whether choosing by it beats random.")
            link_to_page("curate", "Explore the demo")
            link_to_page("evidence", "See the evidence")
        else:
            st.text("The demo was stopped before it was scored.")
            _demo_button(session, "Continue the demo")


def _demo_button(session: Session, label: str) -> None:
    if st.button(label, type="primary"):
        change_or_show_error(lambda: begin_demo(session.store))
