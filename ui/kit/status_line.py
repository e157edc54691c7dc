"""The line under the navigation: the page's name, the run at hand, its draft, the active job, and the guide."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.jobs.job import Job
from core.training.recorded_models import overall_share
from ui.kit.draft_state import draft_line
from ui.kit.guide import show_guide
from ui.kit.job_view import active_jobs, job_line, watch_jobs
from ui.kit.reference_badge import show_reference_badge
from ui.kit.widgets import run_picker
from ui.plain_text import escaped
from ui.shell.session import Session

_JOB_SECONDS = 2.0
_JOB_WIDTH = 300  # pixels


def show_status_line(session: Session, page: str) -> None:
    """The line of a page that needs no run."""
    _end(session, page, _begin(page))


def show_run_line(session: Session, page: str) -> str | None:
    """The line of a page that shows one run, with its picker; returns the run.

    If there is no run, the page says what to do next and this returns None.
    """
    line = _begin(page)
    run = run_picker(session, line)
    if run is not None:
        with line:
            st.caption(f"Dataset {escaped(str(session.store.run(run)['dataset']))}", width="content")
            show_reference_badge(session.store, run)
            if page != "curate" and (draft := draft_line(session, run)):  # Curate shows it above its controls
                st.caption(draft, width="content")
    _end(session, page, line)
    return run


def _begin(page: str) -> DeltaGenerator:
    line = st.container(key="status_line", horizontal=True, vertical_alignment="center", gap="small")
    line.header(page.capitalize(), anchor=False, width="content")
    return line


def _end(session: Session, page: str, line: DeltaGenerator) -> None:
    with line:
        st.space("stretch")
        _show_job(session)
        show_guide(page)


def _show_job(session: Session) -> None:
    """The job at work, or else the first active one, and how many others there are; nothing without jobs."""

    def draw(jobs: list[Job]) -> None:
        job = next((job for job in jobs if job.state == "running"), jobs[0])
        with st.container(width=_JOB_WIDTH):
            st.progress(overall_share(job), text=escaped(job_line(job, len(jobs) - 1)))

    watch_jobs(lambda: active_jobs(session), draw, _JOB_SECONDS)
