"""Jobs as a person follows them: progress, loss curve, log, cancel and resume."""

import json
from typing import Any

import pandas as pd
import streamlit as st

from core.jobs import Job, all_jobs, duration, find_job
from core.supervision import resume
from ui.charts import domain_colours
from ui.session import Session
from ui.training_chart import training_curve_figure
from ui.widgets import escaped

_KINDS = {"score": "Scoring", "train": "Training", "estimate": "Estimate"}
_RECENT = 8


def active_jobs(session: Session) -> list[Job]:
    """Jobs with something left to do, newest first: running, or interrupted."""
    return [job for job in reversed(all_jobs(session.workspace)) if not job.is_settled and job.kind != "estimate"]


def show_active_jobs(session: Session) -> None:
    """Live view of the jobs under way; the page is drawn anew when one of them ends or starts."""
    jobs = active_jobs(session)
    if not jobs:
        return

    @st.fragment(run_every=1.0)
    def live() -> None:
        now = active_jobs(session)
        if [job.job_id for job in now] != [job.job_id for job in jobs]:
            st.rerun()
        for job in now:
            _show_job(session, job)

    live()


def show_finished_jobs(session: Session) -> None:
    """The latest jobs that ended, each with its outcome and log."""
    finished = [job for job in reversed(all_jobs(session.workspace)) if job.is_settled and job.kind != "estimate"]
    if not finished:
        return
    st.subheader("Finished jobs")
    for job in finished[:_RECENT]:
        with st.expander(escaped(f"{_title(job)}: {_ending(job)}")):
            _show_details(job)
    if len(finished) > _RECENT:
        st.caption(f"{len(finished) - _RECENT:,} older jobs are in the workspace's jobs folder.")


def show_last_failure(session: Session) -> None:
    """The sentence of the newest job, if it failed or could not be followed up."""
    jobs = [job for job in all_jobs(session.workspace) if job.is_settled]
    outcome = (jobs[-1].outcome or {}) if jobs else {}
    if outcome.get("state") == "failed":
        st.error(escaped(outcome["message"]))
    if outcome.get("follow_up_failed"):
        st.error(escaped(outcome["follow_up_failed"]))


def _show_job(session: Session, job: Job) -> None:
    with st.container(border=True):
        head, action = st.columns([5, 1], vertical_alignment="center")
        progress = job.progress
        state = job.state
        head.text(_title(job))
        if state == "interrupted":
            st.text("The worker stopped before it finished. What it had finished is kept.")
            if action.button("Resume", key=f"resume_{job.job_id}", width="stretch"):
                resume(session.store, job)
                st.rerun()
        elif job.is_cancelled:
            st.text("Stopping after the current batch.")
        elif action.button("Cancel", key=f"cancel_{job.job_id}", width="stretch"):
            job.cancel()
        st.progress(progress.share)
        st.text(progress.sentence())
        if job.kind == "train":
            _show_curve(job)
        with st.expander("Log"):
            st.code(job.log_text or "The worker is starting.", language=None, wrap_lines=True, height=200)


def _show_details(job: Job) -> None:
    outcome = job.outcome or {}
    if outcome.get("message"):
        st.text(outcome["message"])
    if outcome.get("elapsed_seconds"):
        pace = outcome.get("tokens_per_second")
        rate = f", {outcome['tokens']:,} tokens at {pace:,.0f} tokens per second" if pace else ""
        st.text(f"{duration(outcome['elapsed_seconds'])}{rate}")
    if job.kind == "train":
        _show_curve(job)
    st.code(job.log_text or "No log.", language=None, wrap_lines=True, height=200)


def _show_curve(job: Job) -> None:
    path = job.folder / "curve.jsonl"
    if not path.exists():
        return
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    if lines:
        points = pd.DataFrame(lines)
        figure = training_curve_figure(points, domain_colours(points["domain"].tolist()))
        st.plotly_chart(figure, key=f"curve_{job.job_id}", config={"displayModeBar": False})


def _title(job: Job) -> str:
    request = job.request
    what = request["name"] if job.kind == "train" else request.get("run", "")
    return f"{_KINDS[job.kind]} {what} on {request['dataset']}"


def _ending(job: Job) -> str:
    state = (job.outcome or {}).get("state", "taken over by a later job")
    return str(state)


def job_outcome(session: Session, job_id: str) -> dict[str, Any] | None:
    """Outcome of a job by its id, None while it runs."""
    return find_job(session.workspace, job_id).outcome
