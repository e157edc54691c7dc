"""Trials that nobody waits for: requested or started on a page, advanced one job after another by the store's owner.

All of it is in files (`core.evidence.trial_state`), so that an owner that was killed goes on when it is started again.
"""

import shutil
import threading

from ..data.errors import JobCancelled, NameTaken, NotFound, TrialInvalid, UserError
from ..evidence import cells
from ..evidence.trial_folder import load_trial, trial_folder, trial_names
from ..evidence.trial_jobs import PROBE, base_of
from ..evidence.trial_state import (
    Running,
    forget_request,
    mark_running,
    mark_stopped,
    read_request,
    requested_trials,
    running_trial,
    running_trials,
    save_request,
    save_running,
)
from ..jobs.job import Job, find_job
from ..jobs.queue import cancel, start_or_wait
from ..store import Store
from ..system.permission import require_change
from .supervisor import abandon, check_outcome
from .trial_planning import TrialRequest, begin_probe, begin_search, check_request, draft_trial, fix_trial
from .trials import begin_cell, check_ended

_MOST_STARTS = 5
_LOCK = threading.Lock()  # pages stop a trial while the supervisor's thread advances it


def request_trial(store: Store, request: TrialRequest) -> None:
    """Have a trial planned: its probe runs, then its plan is fixed. Raises a `UserError` for what cannot be planned."""
    check_request(store, request)
    if begin_search(store, request) is None:
        draft_trial(store, request)  # refused now, if it cannot be planned
    with _LOCK:
        if request.name in (*trial_names(store.workspace), *requested_trials(store.workspace)):
            raise NameTaken(f"There is a trial named {request.name!r} already. Choose another name.")
        save_request(store.workspace, request.name, request.to_fields())
        mark_running(store.workspace, request.name)


def start_trial(store: Store, name: str) -> None:
    """Have a trial's missing models trained and evaluated, or a requested one planned. Raises a `UserError`."""
    if name not in requested_trials(store.workspace):
        base_of(store, load_trial(store.workspace, name))
    with _LOCK:
        mark_running(store.workspace, name)


def stop_trial(store: Store, name: str) -> None:
    """Stop after the current batch of the model that is being trained; finished models are kept."""
    with _LOCK:
        running = running_trial(store.workspace, name)
        mark_stopped(store.workspace, name)
        job = _job_of(store, running) if running else None
        if job and job.state in ("running", "waiting"):
            cancel(job)


def discard_trial(store: Store, name: str) -> None:
    """Remove a trial that no model was finished for. Raises `NameTaken` for another one, or one that runs."""
    require_change()
    with _LOCK:
        if name not in requested_trials(store.workspace):
            trial = load_trial(store.workspace, name)
            if len(trial.missing()) < len(list(cells(trial.plan))):
                raise NameTaken(f"The trial {name!r} has results, which are kept. Plan another one.")
        if running_trial(store.workspace, name):
            raise NameTaken(f"The trial {name!r} is running. Stop it first.")
        shutil.rmtree(trial_folder(store.workspace, name))


def advance_trials(store: Store) -> None:
    """Start what follows a finished job: the plan of each requested trial, and the next model of the trial that was
    started first; the others wait for it. Call it again and again. Raises `OSError` if a disk refuses."""
    with _LOCK:
        requested = requested_trials(store.workspace)
        running = running_trials(store.workspace)
        training = [trial for trial in running if trial.name not in requested]
        for trial in [trial for trial in running if trial.name in requested] + training[:1]:
            _advance(store, trial)


def _advance(store: Store, running: Running) -> None:
    """One step of a trial, unless its job still runs or waits to be ingested."""
    name = running.name
    try:
        job = _job_of(store, running)
        if job and not job.is_settled:
            _keep_alive(store, running, job)
            return
        if job and job.outcome:
            check_outcome(job)
        is_requested = name in requested_trials(store.workspace)
        following = _plan(store, running, job) if is_requested else _train(store, name, job)
    except JobCancelled:
        mark_stopped(store.workspace, name)
    except UserError as error:
        mark_stopped(store.workspace, name, str(error))
    else:
        if following:
            save_running(store.workspace, Running(name, running.since, following.job_id, 1))


def _plan(store: Store, running: Running, job: Job | None) -> Job | None:
    """The next job of the planning; None once the plan is fixed, which ends it."""
    request = TrialRequest.from_fields(read_request(store.workspace, running.name))
    if search := begin_search(store, request):
        return search
    draft = draft_trial(store, request)
    if job is None or job.kind != PROBE:
        return begin_probe(store, draft)
    fix_trial(store, draft, job.outcome or {})
    forget_request(store.workspace, running.name)
    mark_stopped(store.workspace, running.name)
    return None


def _train(store: Store, name: str, ended: Job | None) -> Job | None:
    """The job of the trial's next missing model, after one that ended; None if there is none to wait for."""
    trial = load_trial(store.workspace, name)
    missing = trial.missing()
    if not missing:
        mark_stopped(store.workspace, name)
        return None
    if ended and ended.request.get("cell") == missing[0].name:
        check_ended(trial, missing[0], ended)
    job = begin_cell(store, trial, missing[0])
    # A job that is being cancelled still runs: its model is started anew afterwards.
    return None if job is None or job.is_cancelled else job


def _keep_alive(store: Store, running: Running, job: Job) -> None:
    """Start a worker that died again, some times."""
    if job.state != "interrupted":
        return
    if running.starts >= _MOST_STARTS:
        abandon(store, job)
        raise TrialInvalid(
            f"The worker of job {job.job_id} died {running.starts} times (see {job.folder / 'worker.log'}). Start the "
            "trial again to go on from its finished models."
        )
    start_or_wait(job)
    save_running(store.workspace, Running(running.name, running.since, job.job_id, running.starts + 1))


def _job_of(store: Store, running: Running) -> Job | None:
    """The job that a trial waits for; None if there is none, or its folder was removed."""
    try:
        return find_job(store.workspace, running.job) if running.job else None
    except NotFound:
        return None
