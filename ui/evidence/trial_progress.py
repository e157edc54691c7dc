"""A trial that is planned or run: how far it is, its cost, and the buttons that start, stop or discard it."""

from collections.abc import Callable

import streamlit as st

from core.evidence import cells
from core.evidence.trial_folder import Trial
from core.evidence.trial_state import Running, failure_of, requested_trials, running_trial, running_trials
from core.jobs.job import Job
from core.jobs.job_progress import duration
from core.jobs.side_by_side import MOST_AT_ONCE
from core.workspace.job_kinds import JOB_KINDS
from core.workspace.trial_supervision import discard_trial, jobs_of, start_trial, stop_trial
from ui.kit.widgets import change_or_show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session

Stamp = tuple[bool, int, bool | str]


def show_planning(session: Session, name: str) -> None:
    """A trial whose cost is being measured; the page runs again when its plan is fixed."""
    with st.container(border=True):
        st.markdown(f"**{escaped(name)}**: measuring what the trial costs")
        _show_failure(session, name)
        if running_trial(session.workspace, name):
            _follow(session, name, lambda: (name in requested_trials(session.workspace), 0, _runs(session, name)))
        with st.container(horizontal=True):
            if running_trial(session.workspace, name):
                _button("Stop", "stop", name, lambda: stop_trial(session.store, name))
            else:
                _button("Try again", "start", name, lambda: start_trial(session.store, name))
                _button("Discard", "discard", name, lambda: discard_trial(session.store, name))


def show_progress(session: Session, trial: Trial) -> None:
    """How far a trial is, and what can be done with it; nothing for one that is complete."""
    name, missing = trial.name, len(trial.missing())
    total = len(list(cells(trial.plan)))
    _show_failure(session, name)
    if not missing:
        return
    if running := running_trial(session.workspace, name):
        if running.failure:
            st.error(escaped(f"{running.failure} The trial stops when the models at work have ended."))
        _follow(session, name, lambda: (True, len(trial.missing()), _runs(session, name)), (total - missing, total))
        _button("Stop", "stop", name, lambda: stop_trial(session.store, name))
        return
    cost = trial.fixed["cost"]
    left = cost["seconds"] * missing / max(cost["runs"], 1)
    st.markdown(escaped(cost["sentence"] if missing == total else f"{missing:,} models left: about {duration(left)}."))
    at_once = st.number_input(
        "Models at once", 1, MOST_AT_ONCE, 1, key=f"at_once_{name}", disabled=not may_run(), width=220,
        help="Models trained side by side. Use it on a machine with several GPUs, where each model has one of its own, "
        "or on a Ray cluster. On a CPU they share its cores and memory. The models are the same, but for rounding.",
    )  # fmt: skip
    with st.container(horizontal=True):
        label = "Start" if missing == total else "Continue"
        _button(label, "start", name, lambda: start_trial(session.store, name, int(at_once)), primary=True)
        if missing == total:
            _button("Discard", "discard", name, lambda: discard_trial(session.store, name))


def _follow(session: Session, name: str, stamp: Callable[[], Stamp], done: tuple[int, int] | None = None) -> None:
    """The progress of the running job, drawn anew every second; the page runs again when `stamp` changes."""
    before = stamp()

    @st.fragment(run_every=1.0)
    def live() -> None:
        if stamp() != before:
            st.rerun()
        running = running_trial(session.workspace, name)
        jobs = jobs_of(session.store, running) if running else {}
        share = sum(job.progress.share for job in jobs.values())
        if done is None:
            st.progress(share)
            st.text("\n".join(_titled(job) for job in jobs.values()) or "Starting...")
            return
        finished, total = done
        st.progress(min(1.0, (finished + share) / total))
        first = next((other.name for other in running_trials(session.workspace) if _is_run(session, other)), name)
        st.text(_at_work(jobs, finished, total) if first == name else f"Waits for the trial {first}.")

    live()


def _show_failure(session: Session, name: str) -> None:
    if failure := failure_of(session.workspace, name):
        st.error(escaped(failure))


def _button(label: str, what: str, name: str, action: Callable[[], None], primary: bool = False) -> None:
    if st.button(label, key=f"{what}_trial_{name}", type="primary" if primary else "secondary", disabled=not may_run()):
        change_or_show_error(action)


def _titled(job: Job) -> str:
    kind = JOB_KINDS.get(job.kind)
    return f"{kind.title(job.request)}: {job.progress.sentence()}" if kind else "Starting..."


def _at_work(jobs: dict[str, Job], finished: int, total: int) -> str:
    """The models that are being trained, and how many are done."""
    lines = [
        f"{cell or job.request.get('cell', 'evaluating')}. {job.progress.sentence()}" for cell, job in jobs.items()
    ]
    if len(lines) < 2:
        return f"Model {finished + 1:,} of {total:,}: {lines[0] if lines else 'starting...'}"
    return "\n".join([f"{finished:,} of {total:,} models done; {len(lines):,} at work:", *lines])


def _runs(session: Session, name: str) -> bool | str:
    """Whether a trial runs; why it stops, if it does."""
    running = running_trial(session.workspace, name)
    return running is not None and (running.failure or True)


def _is_run(session: Session, running: Running) -> bool:
    """Whether a trial's models are trained, not its plan made."""
    return running.name not in requested_trials(session.workspace)
