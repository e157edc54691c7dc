"""The estimate for training a reference: time, memory, steps and GPU-hours, measured on a sample."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from core.jobs.job_progress import duration
from core.models.base_check import size_text
from core.scoring.planning import count_rows
from core.training.training_plan import TrainRequest
from core.workspace.training_estimate import begin_training_estimate, training_estimate
from ui.score.estimate_view import follow_estimate, gpu_hours
from ui.shell.session import Session, remember, remembered


@dataclass(frozen=True, slots=True)
class _Estimate:
    """An estimate, kept between reruns: the request, and the job that measures it."""

    request: TrainRequest
    rows: int
    job_id: str


def begin_estimate(session: Session, request: TrainRequest) -> None:
    """Start the job that measures a request. Raises what `begin_training_estimate` raises."""
    job = begin_training_estimate(session.store, request)
    remember("training_estimate", _Estimate(request, count_rows(session.store, request.dataset)[0], job.job_id))


def show_estimate(session: Session, request: TrainRequest) -> None:
    """Show the estimate for this request, or its progress. Nothing if the last estimate was for another request."""
    kept: _Estimate | None = remembered("training_estimate")
    if kept is None or kept.request != request:
        st.caption("Not estimated with these settings yet. The estimate trains on a sample and keeps nothing.")
        return
    follow_estimate(session, kept.job_id, partial(_show_outcome, kept))


def _show_outcome(kept: _Estimate, outcome: dict[str, Any]) -> None:
    own = any(step.get("own") for step in kept.request.then)
    found = training_estimate(kept.request, kept.rows, outcome, own)
    time, memory, steps, hours = st.columns(4)
    time.metric("Training time", duration(found.seconds))
    memory.metric("GPU memory" if found.device == "cuda" else "Memory", size_text(found.memory_bytes))
    steps.metric("Steps", f"{found.steps:,}")
    hours.metric("GPU-hours", gpu_hours(found.gpu_hours, found.device))
    models = "1 model" if found.models == 1 else f"{found.models:,} models"
    included = "included in the GPU-hours" if found.device == "cuda" else "not included in the training time"
    processes = kept.request.processes
    shared = "" if processes == 1 else f", with one process; {processes:,} share each batch and take less time"
    st.caption(
        f"{models}, measured on a sample of the {kept.rows:,} rows{shared}. Scoring all of them afterwards: about "
        f"{duration(found.scoring_seconds)}, {included}."
    )
