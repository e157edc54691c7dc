"""Starts jobs, ingests their results into the store, and starts what was to follow.

Run by the store's owner, repeatedly: in a thread of the dashboard, or in the waiting loop of the command line. Every
step can be repeated after a crash without changing anything twice.
"""

from collections.abc import Callable
from typing import Any

from ..data import settings
from ..data.errors import JobCancelled, JobFailed, JobIncomplete, NameTaken, NotFound, UserError
from ..jobs.job import Job, all_jobs, unfinished
from ..jobs.queue import join_or_start, start_or_wait
from ..jobs.results import RESULTS
from ..scoring.earlier_shards import drop_unsound_shards
from ..scoring.ingest import complete_runs, save_planned_run
from ..scoring.planning import ScorePlan, ScoreRequest, create_score_job, plan_scoring
from ..selection import Selection, save_selection
from ..store import Store
from ..system.disk_errors import translate_disk_errors
from ..training.training_plan import TrainRequest, create_train_job, train_fields, trained_already
from .intake import Intake
from .job_kinds import JOB_KINDS, check_arrived, unknown_kind_sentence


def intake_of(store: Store) -> Intake:
    """What takes in the finished jobs of a store's workspace, again and again."""
    return Intake(store, ingest_finished_job)


def ingest_finished_jobs(store: Store) -> None:
    """Take in what every job has finished, once. If some cannot be taken in, the others still are; the first such error
    is raised at the end."""
    intake = intake_of(store)
    intake.take_in()
    for problem in intake.problems:
        raise problem


@translate_disk_errors("What the job brought")
def ingest_finished_job(store: Store, job: Job) -> None:
    """Ingest what a job has finished since the last call, and start what was to follow it once it is done.

    Raises `JobIncomplete` if it has ended and some of what it made has not arrived.
    """
    job.executor.collect(job.folder)
    # The outcome is read before the shards: a job that has one writes no more of them.
    outcome = job.outcome
    kind = JOB_KINDS.get(job.kind)
    if kind is None:
        if not job.is_alive:
            job.finish({"state": "failed", "message": unknown_kind_sentence(job)})
            job.settle()
        return
    dropped = drop_unsound_shards(job)
    kind.ingest(store, job)
    if dropped and outcome and outcome["state"] == "done":
        outcome = {**outcome, "state": "failed", "message": _dropped(dropped)}
        outcome.pop(RESULTS, None)
        job.finish(outcome)
    if outcome is None:
        return
    try:
        check_arrived(store, job)
        kind.ingest(store, job)  # again: the rest may have arrived between the two
        if outcome["state"] == "done":
            kind.finish(store, job)
            _follow_up(store, job)
    except (NotFound, NameTaken) as error:
        # The dataset was removed or the name was taken meanwhile: fail the job instead of retrying forever.
        job.finish({**outcome, "state": "failed", "message": str(error)})
    complete_runs(store)
    job.settle()


@translate_disk_errors("The scoring job")
def begin_scoring(
    store: Store, request: ScoreRequest, then: tuple[dict[str, Any], ...] = ()
) -> tuple[ScorePlan, Job | None]:
    """Start, or join, the job that a request needs; if nothing is missing, the run is saved and no job is returned.

    The results of a job whose worker died are ingested first, so only what is missing is computed.
    """
    plan = plan_scoring(store, request)
    known = unfinished(all_jobs(store.workspace), plan.identity)
    if known and runs_else_ingest(store, known):
        return plan, known
    if known:
        plan = plan_scoring(store, request)
    if plan.is_complete:
        save_planned_run(store, plan)
        _start_next(store, then)
        return plan, None
    job = create_score_job(store, plan, then)
    start_or_wait(job)
    return plan, job


def join_or_compute(store: Store, identity: dict[str, Any], create: Callable[[], Job | None]) -> Job | None:
    """Join the job of that identity, or start the one that `create` makes of what is missing; None if it makes none.

    The results of a job whose worker died are ingested first, so only what is missing is computed.
    """
    known = unfinished(all_jobs(store.workspace), identity)
    if known and runs_else_ingest(store, known):
        return known
    job = create()
    if job:
        start_or_wait(job)
    return job


def runs_else_ingest(store: Store, job: Job) -> bool:
    """Whether a job that computes losses runs or waits; if not, its losses are ingested and it is ended, if all are
    here."""
    if job.state in ("running", "waiting"):
        return True
    try:
        ingest_finished_job(store, job)
    except JobIncomplete:  # what has not arrived is computed anew; if it arrives after all, it is taken in as well
        return False
    job.settle()
    return False


@translate_disk_errors("The training job")
def begin_training(store: Store, request: TrainRequest) -> Job | None:
    """Start, join or resume the training that a request needs; None if that reference already exists."""
    if trained_already(store, request):
        _start_next(store, request.then)
        return None
    identity = train_fields(store, request)["identity"]
    wanted = {"kind": "train", "identity": identity}
    return join_or_start(store.workspace, wanted, lambda: create_train_job(store, request))


def resume(job: Job) -> None:
    """Start an interrupted job again, in its turn; it continues from what is finished."""
    if job.state == "interrupted":
        start_or_wait(job)


def abandon(store: Store, job: Job) -> None:
    """End an interrupted job; losses that it computed are kept."""
    if job.state == "interrupted":
        ingest_finished_job(store, job)
        job.finish({"state": "cancelled", "message": "Discarded after its worker stopped."})
        job.settle()


def check_outcome(job: Job) -> dict[str, Any]:
    """The outcome of a job that ended. Raises `JobFailed` or `JobCancelled` with its sentence."""
    outcome = job.outcome
    if outcome is None:
        raise JobFailed(
            f"The worker of job {job.job_id} died before it finished (see {job.folder / 'worker.log'}). "
            "What it had finished is kept: run the same command again to go on."
        )
    if outcome["state"] == "cancelled":
        raise JobCancelled(outcome["message"])
    if outcome["state"] == "failed":
        raise JobFailed(outcome["message"])
    return outcome


def _dropped(roles: list[str]) -> str:
    return (
        f"An earlier version computed losses of this job ({', '.join(roles)}) that are or may be another model's; they "
        "were dropped. Score again to compute them."
    )


def _follow_up(store: Store, job: Job) -> None:
    try:
        with settings.chosen(job.executor_choice):  # where the first step ran
            _start_next(store, tuple(job.request.get("then", ())))
    except UserError as error:
        job.finish({**(job.outcome or {}), "follow_up_failed": str(error)})


def _start_next(store: Store, then: tuple[dict[str, Any], ...]) -> None:
    """Start the first of the follow-up steps; a step that needs no job is done at once, and the next one starts."""
    if not then:
        return
    step, rest = dict(then[0]), then[1:]
    kind = step.pop("kind")
    if kind == "score":
        begin_scoring(store, ScoreRequest(**step), rest)
        return
    save_selection(store, step["name"], Selection.from_fields(step["recipe"]), replace_existing=True)
    _start_next(store, rest)
