"""Bringing what workers finish into the store: shards become losses, trained models get their place, runs appear.

Run by the store's owner, over and over: in a thread of the dashboard, or in the waiting loop of the command line.
Every step can be repeated after a crash without changing anything twice.
"""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.errors import JobCancelled, JobFailed, NameTaken, NotFound, UserError
from ..jobs.job import Job, all_jobs, join_or_start, start_worker, unfinished
from ..jobs.shards import read_shard
from ..maintenance.kept_shards import loss_set_of, verify_and_prune_shards
from ..models.resolving import PROVENANCE, ModelSpec, trained_examples
from ..near_duplicates.jobs import ingest_near_duplicates
from ..scoring.earlier_shards import drop_unsound_shards
from ..scoring.planning import (
    ROLES,
    ScorePlan,
    ScoreRequest,
    TrainRequest,
    create_score_job,
    create_train_job,
    plan_scoring,
    train_fields,
    trained_already,
)
from ..selection import Selection, save_selection
from ..store import Store
from ..system.atomic_files import rename_durably, write_durably
from ..system.disk_errors import translate_disk_errors
from ..system.file_hash import file_sha256

log = logging.getLogger(__name__)


def notices_of(store: Store) -> list[str]:
    """What a person should know of a store that was just opened, a sentence each; kept shards are looked after."""
    return [*store.opened.notices, *verify_and_prune_shards(store)]


def ingest_finished_jobs(store: Store) -> None:
    """Take in what every job has finished since the last call, and start what was to follow a finished one.

    A job that cannot be taken in does not keep the others from it; the first such error is raised at the end.
    """
    problems: list[UserError | OSError] = []
    for job in all_jobs(store.workspace):
        if not job.is_settled:
            try:
                ingest_finished_job(store, job)
            except (UserError, OSError) as error:
                problems.append(error)
    if problems:
        raise problems[0]


@translate_disk_errors("What the job brought")
def ingest_finished_job(store: Store, job: Job) -> None:
    """`ingest_finished_jobs` for one job."""
    # The outcome is looked at before the shards: a job that has one writes no more of them.
    outcome = job.outcome
    dropped = drop_unsound_shards(job)
    if job.kind == "score":
        _ingest(store, job)
    if dropped and outcome and outcome["state"] == "done":
        outcome = {**outcome, "state": "failed", "message": _dropped(dropped)}
        job.finish(outcome)
    if outcome is None:
        return
    if outcome["state"] == "done":
        try:
            _finish(store, job)
            _follow_up(store, job)
        except (NotFound, NameTaken) as error:
            # The dataset was removed or the name given away meanwhile: the job ends with that sentence, not never.
            job.finish({**outcome, "state": "failed", "message": str(error)})
    job.settle()


@translate_disk_errors("The scoring job")
def begin_scoring(
    store: Store, request: ScoreRequest, then: tuple[dict[str, Any], ...] = ()
) -> tuple[ScorePlan, Job | None]:
    """Start, or join, the work that a request needs; without any work left, the run is saved and no job comes back.

    A job whose worker died is taken in first, so only what is missing is computed.
    """
    plan = plan_scoring(store, request)
    running = unfinished(all_jobs(store.workspace), plan.identity)
    if running and running.state == "running":
        return plan, running
    if running:
        ingest_finished_job(store, running)
        running.settle()
        plan = plan_scoring(store, request)
    if plan.is_complete:
        save_run(store, plan)
        _start_next(store, then)
        return plan, None
    job = create_score_job(store, plan, then)
    start_worker(job)
    return plan, job


@translate_disk_errors("The training job")
def begin_training(store: Store, request: TrainRequest) -> Job | None:
    """Start, join or go on with the training that a request needs; None if that reference is there already."""
    if trained_already(store, request):
        _start_next(store, request.then)
        return None
    identity = train_fields(store, request)["identity"]
    wanted = {"kind": "train", "identity": identity}
    return join_or_start(store.workspace, wanted, lambda: create_train_job(store, request))


def resume(job: Job) -> None:
    """Start an interrupted job's worker again: it goes on from what is finished."""
    if job.state == "interrupted":
        start_worker(job)


def abandon(store: Store, job: Job) -> None:
    """End an interrupted job without going on with it; losses that it had computed are kept."""
    if job.state == "interrupted":
        ingest_finished_job(store, job)
        job.finish({"state": "cancelled", "message": "Given up after its worker stopped."})
        job.settle()


def save_run(store: Store, plan: ScorePlan) -> None:
    """Record the plan's run from the losses that there are."""
    _save_run(store, plan.request.run_name, plan.request.dataset, plan.loss_sets, plan.description)


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


def _ingest(store: Store, job: Job) -> None:
    for part in job.request["parts"]:
        loss_set = loss_set_of(store, job, part["role"])
        ingested = store.ingested_shards(job.shard_prefix(part["role"]))
        for path in job.shards_of(part["role"]):
            if path.stem not in ingested:
                store.ingest_shard(path.stem, loss_set, read_shard(path), file_sha256(path))
        noise = job.folder / f"noise-{part['role']}.txt"
        if noise.exists():
            store.set_noise_floor(loss_set, float(noise.read_text(encoding="ascii")))


def _dropped(roles: list[str]) -> str:
    return (
        f"An earlier version computed losses of this job ({', '.join(roles)}) that are or may be another model's; they "
        "were dropped. Score again to compute them."
    )


def _finish(store: Store, job: Job) -> None:
    request = job.request
    if job.kind == "score":
        loss_sets = {role: loss_set_of(store, job, role) for role in ROLES}
        _save_run(store, request["run"], request["dataset"], loss_sets, request["description"])
    if job.kind == "train":
        _publish(store, job)
    if job.kind == "near_duplicates":
        ingest_near_duplicates(store, job)


def _save_run(store: Store, name: str, dataset: str, loss_sets: dict[str, int], description: dict[str, Any]) -> None:
    """The run, and before it what its reference was trained on, so that the scored table can flag those rows."""
    reference = ModelSpec(**description["models"]["reference"])
    if seen := trained_examples(reference):
        store.record_training(description["model_fingerprints"]["reference"], seen)
    store.save_run(name, dataset, loss_sets, description)


def _publish(store: Store, job: Job) -> None:
    """Give the trained model its place under `models/`; renamed whole, so it is there or it is not."""
    source, target = job.folder / "model", store.workspace / "models" / job.request["name"]
    if not source.exists():
        return  # published before a crash
    if target.exists():
        raise NameTaken(
            f"A reference named {target.name!r} was made while this one was trained. This one stays in {source}: "
            "name that folder as the reference."
        )
    provenance = json.loads((source / PROVENANCE).read_text(encoding="utf-8"))
    provenance["identity"] = job.request["identity"]
    provenance["files"] = _digests(source)
    write_durably(source / PROVENANCE, [json.dumps(provenance, ensure_ascii=False, indent=1).encode()])
    target.parent.mkdir(exist_ok=True)
    rename_durably(source, target)


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of a trained model's files by name, for `python -m core check`; without the provenance."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name != PROVENANCE)
    return {path.name: file_sha256(path) for path in files}


def _follow_up(store: Store, job: Job) -> None:
    try:
        _start_next(store, tuple(job.request.get("then", ())))
    except UserError as error:
        job.finish({**(job.outcome or {}), "follow_up_failed": str(error)})


def _start_next(store: Store, then: tuple[dict[str, Any], ...]) -> None:
    """Start the first of the steps that were to follow; a step that takes no time is done and the next one starts."""
    if not then:
        return
    step, rest = dict(then[0]), then[1:]
    kind = step.pop("kind")
    if kind == "score":
        begin_scoring(store, ScoreRequest(**step), rest)
        return
    save_selection(store, step["name"], Selection.from_fields(step["recipe"]), replace_existing=True)
    _start_next(store, rest)


class Supervisor(threading.Thread):
    """Calls `ingest_finished_jobs` every half second while the dashboard runs, and `make_room` when a job starts to
    run, because it may need all the memory of a GPU. `notices`: what opening found, for people."""

    def __init__(
        self,
        store: Store,
        report: Callable[[str], None] = log.warning,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="supervisor", daemon=True)
        self._store, self._report, self._make_room = store, report, make_room
        self._running: set[str] = set()
        self._stopped = threading.Event()
        self.notices: tuple[str, ...] = store.opened.notices

    def run(self) -> None:
        """Until stopped. A job that cannot be taken in is reported once and left for the next round."""
        reported = ""
        self._look_around()
        while not self._stopped.wait(0.5):
            try:
                self._look_for_begun_jobs()
                ingest_finished_jobs(self._store)
            except (UserError, OSError) as error:
                if str(error) != reported:
                    reported = str(error)
                    self._report(reported)

    def _look_for_begun_jobs(self) -> None:
        jobs = (job for job in all_jobs(self._store.workspace) if not job.is_settled)
        running = {job.job_id for job in jobs if job.state == "running"}
        if running - self._running:
            self._make_room()
        self._running = running

    def _look_around(self) -> None:
        """What opening found, and what became of kept shards, said once."""
        try:
            self.notices = tuple(notices_of(self._store))
            for notice in self.notices:
                self._report(notice)
        except (UserError, OSError) as error:
            self._report(str(error))

    def stop(self) -> None:
        """Stop after the current round."""
        self._stopped.set()
        self.join()
