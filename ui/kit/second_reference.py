"""One click to a second reference of a run: trained with the same settings and another seed, then scored with."""

import streamlit as st

from core.data.errors import UserError
from core.jobs.job import Job, readable_jobs
from core.models.resolving import check_allowed_model
from core.training.recorded_models import overall_share
from core.workspace.second_reference import SecondReference, begin_second_reference, second_reference
from ui.kit.job_view import active_jobs, show_job, watch_jobs
from ui.kit.widgets import change_or_show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session


def show_second_reference(session: Session, run: str, brief: bool = False) -> None:
    """The button, the progress of the job it started, or why it cannot be trained here. `brief`: only the button, what
    it does in its help, or the progress in a line."""
    try:
        found = second_reference(session.store, run)
    except UserError as error:
        if not brief:
            st.caption(escaped(str(error)))
        return
    if watch_jobs(lambda: _jobs(session, found), lambda jobs: _show_progress(session, jobs, brief)):
        return
    meaning = _meaning(found)
    if not brief:
        st.caption(meaning)
        if failure := _failure(session, found):
            st.error(escaped(failure))
    key, help = ("second_reference_brief", meaning) if brief else ("second_reference", None)
    if st.button("Train a second reference", key=key, help=help, disabled=not may_run()):
        change_or_show_error(lambda: _begin(session, run, found))


def _meaning(found: SecondReference) -> str:
    many = "one model" if found.models == 1 else f"{found.models:,} models"
    return escaped(
        f"Trains {many} with the settings of this run's reference and another seed ({found.request.seed}), then scores "
        f"the dataset as run {found.run}. Costs as much as the first reference; base losses are cached."
    )


def _begin(session: Session, run: str, found: SecondReference) -> None:
    check_allowed_model(found.request.base, session.workspace)
    with st.spinner("Reading the base model..."):
        begin_second_reference(session.store, run)


def _show_progress(session: Session, jobs: list[Job], brief: bool) -> None:
    for job in jobs:
        if brief:
            what = "Training a second reference" if job.kind == "train" else "Scoring with the second reference"
            st.progress(overall_share(job), what)
        else:
            show_job(session, job)


def _jobs(session: Session, found: SecondReference) -> list[Job]:
    return [job for job in active_jobs(session) if _belongs(job, found)]


def _belongs(job: Job, found: SecondReference) -> bool:
    request = job.request
    wanted = {"train": ("name", found.name), "score": ("run", found.run)}.get(job.kind)
    return (
        wanted is not None and request.get("dataset") == found.request.dataset and request.get(wanted[0]) == wanted[1]
    )


def _failure(session: Session, found: SecondReference) -> str | None:
    """What the newest job of this reference says of its end, if it was no success."""
    newest = next((job for job in reversed(readable_jobs(session.workspace)) if _belongs(job, found)), None)
    outcome = (newest.outcome if newest else None) or {}
    failed = outcome.get("state") in ("failed", "cancelled")
    return outcome.get("message") if failed else outcome.get("follow_up_failed")
