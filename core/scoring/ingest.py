"""A scoring job's results in the store: its losses, the noise of computing them, and the run."""

import json
from typing import Any

from ..data.errors import NoUsableRows, StoreUnusable
from ..jobs.job import Job
from ..jobs.shards import read_shard
from ..models.resolving import ModelSpec, trained_examples
from ..store import Store
from ..store.scored_table import scored_table
from ..store.store import DATASET_KEY
from ..system.file_hash import file_sha256
from .cross_fitting import fill_combined_sets
from .noise_files import read_noise
from .planning import ScorePlan

PARTIAL = "partial"
"""The field of a run's description: its scoring has not ended, and rows are not scored yet."""


def loss_set_of(store: Store, job: Job, role: str) -> int:
    """The loss set of a scoring job's shards of a role.

    It is found by model and encoding, not by the number in the request: in a restored store, that number may be
    another model's.
    """
    return _loss_set(store, job.request["description"], role)


def ingest_losses(store: Store, job: Job) -> None:
    """Ingest the shards that the store does not have yet, and the noise measured so far; repeating changes nothing.

    If a shard is damaged, the others are ingested before `StoreUnusable` is raised.
    """
    damaged: list[StoreUnusable] = []
    for part in job.request["parts"]:
        loss_set = loss_set_of(store, job, part["role"])
        ingested = store.ingested_shards(job.shard_prefix(part["role"]))
        for path in job.shards_of(part["role"]):
            try:
                if path.stem not in ingested:
                    model = job.request["description"]["model_fingerprints"][part["role"]]
                    store.ingest_shard(path.stem, loss_set, read_shard(path, model), file_sha256(path))
            except StoreUnusable as error:
                damaged.append(error)
        if (noise := read_noise(job, part["role"])) is not None:
            store.set_noise_floor(loss_set, noise)
    if damaged:
        raise damaged[0]


def save_planned_run(store: Store, plan: ScorePlan) -> None:
    """Save the plan's run from the losses in the store."""
    _save_run(store, plan.request.run_name, plan.request.dataset, plan.loss_sets, plan.description)


def save_run_of(store: Store, job: Job) -> None:
    """Save the run of a finished scoring job. Raises `NotFound` if its dataset is gone or another one has its name,
    `NameTaken` if the run's name is."""
    request = job.request
    description = request["description"]
    store.check_same_dataset(request["dataset"], request.get(DATASET_KEY))
    loss_sets = _loss_sets(store, description)
    _save_run(store, request["run"], request["dataset"], loss_sets, description)


def save_partial_run(store: Store, job: Job) -> str:
    """Save the run of a scoring job from the losses in the store; returns its name. Until no loss is missing any more,
    its description says that it is `partial`. Raises as `save_run_of` does, and `NoUsableRows` if no row has losses of
    both models yet."""
    request, description = job.request, job.request["description"]
    dataset = request["dataset"]
    store.check_same_dataset(dataset, request.get(DATASET_KEY))
    loss_sets = _run_loss_sets(store, dataset, _loss_sets(store, description), description)
    both = " AND ".join(["example_id IN (SELECT example_id FROM loss WHERE loss_set_id = ?)"] * 2)
    rows, scored = store.rows(
        f"SELECT count(*), count_if({both}) FROM dataset_row WHERE dataset_id = ?",
        [loss_sets["base"], loss_sets["reference"], store.dataset_id(dataset)],
    )[0]
    if not scored:
        raise NoUsableRows(f"No row of the run {request['run']!r} has losses of both models yet. Let the job go on.")
    marked = description | ({PARTIAL: True} if scored < rows else {})
    store.save_run(request["run"], dataset, loss_sets, marked)
    return str(request["run"])


def complete_runs(store: Store) -> None:
    """Rebuild the tables of runs that lack losses which the store has by now, by whatever way they came; a partial run
    that lacks none any more is partial no longer."""
    tables = {name for (name,) in store.rows("SELECT table_name FROM duckdb_tables()")}
    for run_id, name, dataset, text in store.rows(
        "SELECT run_id, run.name, dataset.name, description FROM run JOIN dataset USING (dataset_id) ORDER BY run_id"
    ):
        table, description = scored_table(run_id), json.loads(text)
        if table not in tables or not store.rows(f"SELECT 1 FROM {table} WHERE not_scored LIMIT 1"):
            continue
        if "cross_fitted" in description:
            fill_combined_sets(store, dataset, description, _loss_sets(store, description))
        store.save_run(name, dataset, store.loss_sets(run_id))
        if description.pop(PARTIAL, False) and not store.rows(f"SELECT 1 FROM {table} WHERE not_scored LIMIT 1"):
            store.save_run(name, dataset, store.loss_sets(run_id), description)


def _loss_sets(store: Store, description: dict[str, Any]) -> dict[str, int]:
    return {role: _loss_set(store, description, role) for role in description["models"]}


def _loss_set(store: Store, description: dict[str, Any], role: str) -> int:
    return store.ensure_loss_set(
        description["model_fingerprints"][role],
        description["encoding_fingerprint"],
        description["models"][role]["label"],
    )


def _save_run(store: Store, name: str, dataset: str, loss_sets: dict[str, int], description: dict[str, Any]) -> None:
    store.save_run(name, dataset, _run_loss_sets(store, dataset, loss_sets, description), description)


def _run_loss_sets(
    store: Store, dataset: str, loss_sets: dict[str, int], description: dict[str, Any]
) -> dict[str, int]:
    """The loss sets of a run's roles, from those of its models. What the reference was trained on is recorded, so that
    the scored table can flag those rows."""
    if "cross_fitted" in description:
        return {"base": loss_sets["base"], **fill_combined_sets(store, dataset, description, loss_sets)}
    reference = ModelSpec(**description["models"]["reference"])
    if seen := trained_examples(reference):
        store.record_training(description["model_fingerprints"]["reference"], seen)
    return loss_sets
