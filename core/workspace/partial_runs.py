"""A scoring job that was cancelled, failed or still runs: its run over the rows that are scored, and the job's rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..data import settings
from ..data.errors import JobFailed
from ..jobs.executors import CLUSTER
from ..jobs.job import Job, create_job
from ..jobs.queue import join_or_start
from ..scoring.ingest import loss_set_of, save_partial_run, save_run_of
from ..store import Store
from ..store.store import DATASET_KEY
from .supervisor import ingest_finished_job

_MADE_NEW = ("executor", "executor_settings", "placement", "job")
_IDENTITY = ("kind", "dataset", DATASET_KEY, "loss_sets", "own")


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run as it was opened: its name, how many of its rows have both losses, and all its rows."""

    run: str
    scored: int
    rows: int

    @property
    def sentence(self) -> str:
        """The same for people."""
        return f"Run {self.run}: {self.scored:,} of {self.rows:,} rows scored."


def open_partial_run(store: Store, job: Job) -> OpenedRun:
    """Save the run of a scoring job over the losses that it has so far; the other rows are not scored yet.

    The run is completed when the job is, or one that goes on with it. Raises `NoUsableRows` if no row has losses of
    both models yet, and what `save_run_of` raises.
    """
    _check_scores(job)
    if not job.is_settled:
        ingest_finished_job(store, job)
    name = save_partial_run(store, job)
    table = store.run(name)["table"]
    rows, scored = store.rows(f"SELECT count(*), count(base_loss + reference_loss) FROM {table}")[0]
    return OpenedRun(name, int(scored), int(rows))


def score_rest(store: Store, job: Job) -> Job | None:
    """Start, or join, a job for the losses that an ended scoring job lacks, with its models and settings, for the same
    run; None if none is missing: the run is complete then."""
    _check_scores(job)
    missing = _missing(store, job)
    if not missing:
        save_run_of(store, job)
        return None
    request = job.request
    identity = {name: request[name] for name in _IDENTITY if name in request}
    return join_or_start(store.workspace, identity, lambda: _job_for_the_rest(store, job, missing))


def _job_for_the_rest(store: Store, job: Job, missing: Mapping[str, bool]) -> Job:
    request = {name: value for name, value in job.request.items() if name not in _MADE_NEW}
    models, dataset = request["description"]["models"], request["dataset"]
    request["parts"] = [
        {"role": role, "model": models[role], "loss_set": loss_set_of(store, job, role)} for role in missing
    ]
    examples = {
        role: store.missing_losses(dataset, loss_set_of(store, job, role), 1, unseen)
        for role, unseen in missing.items()
    }
    # A model that was spread may be larger than one GPU; a cluster spreads none.
    placement = None if settings.text("executor") == CLUSTER else job.placement
    with settings.chosen({"placement": placement}):
        return create_job(store.workspace, request, examples)


def _missing(store: Store, job: Job) -> dict[str, bool]:
    """The roles that lack losses, each with whether its model scores only the rows that it has not seen."""
    description, dataset = job.request["description"], job.request["dataset"]
    store.check_same_dataset(dataset, job.request.get(DATASET_KEY))
    cross = description.get("cross_fitted")
    unseen_only = {role: bool(cross and not cross["own"] and role != "base") for role in description["models"]}
    return {
        role: unseen
        for role, unseen in unseen_only.items()
        if store.missing_count(dataset, loss_set_of(store, job, role), unseen)
    }


def _check_scores(job: Job) -> None:
    if job.kind != "score":
        raise JobFailed(f"The job {job.job_id} scores no dataset, so it has no run. Choose a scoring job.")


def partial_fields(store: Store, job: Job) -> dict[str, Any]:
    """What `open_partial_run` did, as JSON fields: job, run, scored (rows with both losses), rows."""
    opened = open_partial_run(store, job)
    return {"job": job.job_id, "run": opened.run, "scored": opened.scored, "rows": opened.rows}
