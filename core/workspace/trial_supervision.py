"""Trials that nobody waits for: requested or started on a page, advanced job by job by the store's owner.

All of it is in files (`core.evidence.trial_state`), so that an owner that was killed goes on when it is started again.
"""

import shutil
import threading
from collections.abc import Collection
from dataclasses import replace

from ..data.errors import JobCancelled, NameTaken, NotFound, TrialInvalid, UserError
from ..evidence import cells
from ..evidence.trial_folder import load_trial, trial_folder, trial_names
from ..evidence.trial_jobs import PROBE, base_of
from ..evidence.trial_state import (
    Begun,
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
from .trials import begin_missing, check_at_once, check_ended

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


def start_trial(store: Store, name: str, at_once: int = 1) -> None:
    """Have a trial's missing models trained and evaluated, `at_once` side by side, or a requested one planned. Raises a
    `UserError`."""
    if name not in requested_trials(store.workspace):
        trial = load_trial(store.workspace, name)
        base_of(store, trial)
        at_once = check_at_once(trial, at_once)
    with _LOCK:
        mark_running(store.workspace, name, at_once)


def stop_trial(store: Store, name: str) -> None:
    """Stop after the current batch of the models that are being trained; finished models are kept."""
    with _LOCK:
        if running := running_trial(store.workspace, name):
            _cancel_jobs(store, running)
            mark_stopped(store.workspace, name, running.failure)


def jobs_of(store: Store, running: Running) -> dict[str, Job]:
    """The jobs that a trial waits for, by the model that they make; while it is planned there is one, without."""
    found = {begun.cell: _job_of(store, begun) for begun in running.jobs}
    return {cell: job for cell, job in found.items() if job}


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
    """Start what follows a finished job: the plan of each requested trial, and the next models of the trial that was
    started first; the others wait for it. Call it again and again. Raises `OSError` if a disk refuses."""
    with _LOCK:
        requested = requested_trials(store.workspace)
        running = running_trials(store.workspace)
        training = [trial for trial in running if trial.name not in requested]
        for trial in [trial for trial in running if trial.name in requested] + training[:1]:
            _advance(store, trial)


def _advance(store: Store, running: Running) -> None:
    """One step of a trial: what its jobs have made leads to further ones. Jobs that still run, or wait to be ingested,
    stay."""
    if running.failure:
        _wind_up(store, running)
        return
    name = running.name
    try:
        open_jobs, ended = _open_and_ended(store, running)
        if name in requested_trials(store.workspace):
            jobs = open_jobs or _plan(store, running, ended)
        else:
            jobs = _train(store, running, open_jobs, ended)
    except JobCancelled:
        _cancel_jobs(store, running)
        mark_stopped(store.workspace, name)
    except UserError as error:
        _cancel_jobs(store, running, ("waiting",))
        _wind_up(store, replace(running, failure=str(error)))
    else:
        if jobs and tuple(jobs) != running.jobs:
            save_running(store.workspace, replace(running, jobs=tuple(jobs)))


def _wind_up(store: Store, running: Running) -> None:
    """Of a trial that failed: wait for the models that are at work, so that they can be seen and stopped, then end."""
    at_work = tuple(
        begun
        for begun in running.jobs
        if (job := _job_of(store, begun)) and job.state in ("running", "done") and not job.is_settled
    )
    if at_work:
        save_running(store.workspace, replace(running, jobs=at_work))
    else:
        mark_stopped(store.workspace, running.name, running.failure)


def _open_and_ended(store: Store, running: Running) -> tuple[list[Begun], list[Job]]:
    """The jobs that are still to be waited for, and those that have ended. Raises the failure of one."""
    open_jobs, ended = [], []
    for begun in running.jobs:
        job = _job_of(store, begun)
        if job and not job.is_settled:
            open_jobs.append(_restarted_if_dead(store, begun, job))
        elif job:
            if job.outcome:
                check_outcome(job)
            ended.append(job)
    return open_jobs, ended


def _plan(store: Store, running: Running, ended: list[Job]) -> list[Begun]:
    """The next job of the planning; none once the plan is fixed, which ends it."""
    request = TrialRequest.from_fields(read_request(store.workspace, running.name))
    if search := begin_search(store, request):
        return [Begun(search.job_id)]
    draft = draft_trial(store, request)
    probe = next((job for job in ended if job.kind == PROBE), None)
    if probe is None:
        return [Begun(begin_probe(store, draft).job_id)]
    fix_trial(store, draft, probe.outcome or {})
    forget_request(store.workspace, running.name)
    mark_stopped(store.workspace, running.name)
    return []


def _train(store: Store, running: Running, open_jobs: list[Begun], ended: list[Job]) -> list[Begun]:
    """The jobs to wait for: those that are open, and of further missing models. The trial is over if none is left."""
    if len(open_jobs) >= running.at_once:
        return open_jobs
    trial = load_trial(store.workspace, running.name)
    for job in ended:
        check_ended(trial, job)
    if not open_jobs and not trial.missing():
        mark_stopped(store.workspace, running.name)
        return []
    check_at_once(trial, running.at_once)  # the machine may be another one by now
    begun = begin_missing(store, trial, [begun.cell for begun in open_jobs], running.at_once)
    # A job that is being cancelled still runs: its model is started anew afterwards.
    return open_jobs + [Begun(job.job_id, cell) for cell, job in begun.items() if not job.is_cancelled]


def _restarted_if_dead(store: Store, begun: Begun, job: Job) -> Begun:
    """The same job, its worker started again if it died, some times."""
    if job.state != "interrupted":
        return begun
    if begun.starts >= _MOST_STARTS:
        abandon(store, job)
        raise TrialInvalid(
            f"The worker of job {job.job_id} died {begun.starts} times (see {job.folder / 'worker.log'}). Start the "
            "trial again to go on from its finished models."
        )
    start_or_wait(job)
    return replace(begun, starts=begun.starts + 1)


def _cancel_jobs(store: Store, running: Running, states: Collection[str] = ("running", "waiting")) -> None:
    for job in jobs_of(store, running).values():
        if job.state in states:
            cancel(job)


def _job_of(store: Store, begun: Begun) -> Job | None:
    """A job that a trial waits for; None if its folder was removed."""
    try:
        return find_job(store.workspace, begun.job)
    except NotFound:
        return None
