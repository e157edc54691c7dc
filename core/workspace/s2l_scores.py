"""Orders a run's rows by their loss trajectories (S2L): the losses under the checkpoints of a reference are computed
where they are missing, and the order becomes a score of the run's dataset, as an imported one is."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..data.errors import ModelUnusable, SelectionInvalid
from ..data.listing import counted
from ..data.taking_order import shares_taken_after
from ..importing.score_files import score_name
from ..jobs.example_chunks import Ids
from ..jobs.job import Job
from ..jobs.job_progress import duration
from ..models.devices import resolve_device
from ..scoring.embeddings.embedding_jobs import dataset_ids
from ..scoring.trajectories import (
    TrajectoryPlan,
    create_trajectory_job,
    plan_trajectories,
    read_trajectories,
)
from ..selection.recipe import MOST_CLUSTERS
from ..selection.trajectory_turns import s2l_order
from ..store import ImportedScore, ScoreOrigin, Store, imported_scores
from ..training.checkpoint_models import checkpoint_models
from ..training.kept_checkpoints import OPTION
from ..training.run_checkpoints import RunCheckpoints, run_checkpoints
from .holding import Say
from .running import Wait
from .score_imports import has_score, save_scores
from .supervisor import join_or_compute

DEFAULT_CLUSTERS = 100
MEANING = (
    "A high value: the row comes early when clusters of alike loss trajectories take turns. It does not show that a "
    "row is good, and rare mistakes come early too; only a trial compares trainings."
)
_RULE = 1
# How rows get their place. Raise it when the same losses would give others.
# 1: core.selection.trajectory_turns, mean loss over scored tokens, Euclidean.
_FORWARD_SHARE = 1 / 3
"""Of the time of a training step: backward computes about twice as many products as forward."""


@dataclass(frozen=True, slots=True)
class S2lRequest:
    """A person's request. `reference`: one with kept checkpoints, by default the run's. `name`: of the score,
    s2l_NAME, by default the reference's. `clusters`: at most so many; `seed`: of k-means and of the order in a
    cluster."""

    run: str
    reference: str | None = None
    name: str | None = None
    clusters: int = DEFAULT_CLUSTERS
    seed: int = 0
    replace: bool = False
    device: str = "auto"


def score_s2l(store: Store, request: S2lRequest, wait: Wait, say: Say) -> tuple[ImportedScore, dict[str, Any]]:
    """Add the score s2l_NAME to a run's dataset; `say` gets what it costs, before it starts.

    Returns it, and fields: checkpoints, clusters, computed (losses), reasons (rows left out, by reason), notices.
    Raises what `run_checkpoints` raises, `ModelUnusable` for a reference with one checkpoint, `SelectionInvalid` for
    too many clusters, and `NameTaken`; nothing is computed then.
    """
    found = run_checkpoints(store, request.run, request.reference)
    if len(found.checkpoints) < 2:
        raise ModelUnusable(
            f"The reference {found.reference.label!r} kept one checkpoint, and a trajectory needs two. Train one with "
            f"{OPTION} and --epochs 2 or more."
        )
    ids = dataset_ids(store, found.dataset)
    _check_clusters(request.clusters, len(ids), "unique rows")
    models = checkpoint_models(found, store.workspace)
    device = resolve_device(request.device)
    plan = plan_trajectories(store, found.dataset, found.base, models, found.encoding, device, found.dtype)
    name = score_name(f"s2l_{request.name or found.reference.label.rstrip('/').rsplit('/', 1)[-1]}")
    origin = _origin(name, found, plan, request, ids)
    computed, reasons = 0, dict[str, int]()
    if not has_score(store, found.dataset, name, origin, request.replace):
        computed = _compute(store, plan, found.row_seconds, wait, say)
        trajectories = read_trajectories(store, plan)
        reasons = trajectories.reasons
        _check_clusters(request.clusters, len(trajectories.losses), "rows with a loss")
        values = shares_taken_after(s2l_order(trajectories.losses, request.clusters, request.seed))
        store.check_same_dataset(found.dataset, plan.dataset_key)
        table = pa.table([trajectories.example_ids, values], ["key", name])
        save_scores(store, found.dataset, origin, table, request.replace)
    fields = {
        "checkpoints": len(models),
        "clusters": request.clusters,
        "computed": computed,
        "reasons": reasons,
        "notices": [f"Rows without a value: {counted(reasons)}."] if reasons else [],
    }
    return next(score for score in imported_scores(store, found.dataset) if score.name == name), fields


def _check_clusters(clusters: int, rows: int, which: str) -> None:
    if not 2 <= clusters <= MOST_CLUSTERS:
        raise SelectionInvalid(f"{clusters:,} clusters were requested. Give 2 to {MOST_CLUSTERS:,}.")
    if clusters > rows:
        raise SelectionInvalid(
            f"{clusters:,} clusters were requested of {rows:,} {which}. Give at most as many with --clusters."
        )


def _origin(name: str, found: RunCheckpoints, plan: TrajectoryPlan, request: S2lRequest, ids: Ids) -> ScoreOrigin:
    """Where the score comes from and what it means, as the table of scores and manifests say it."""
    label = found.reference.label
    parts = [_RULE, list(plan.fingerprints.values()), plan.encoding.fingerprint, request.clusters, request.seed]
    digest = hashlib.sha256(json.dumps(parts).encode() + ids.tobytes()).hexdigest()
    column = (
        f"S2L order by {request.clusters:,} clusters (checkpoints: {len(plan.models)}; seed {request.seed}; "
        f"{len(ids):,} unique rows); high: taken early"
    )
    return ScoreOrigin(f"loss trajectories of {label}", digest, "example-id", {name: column})


def _compute(store: Store, plan: TrajectoryPlan, row_seconds: float | None, wait: Wait, say: Say) -> int:
    """Compute the losses that are missing; returns how many those are."""
    first = sum(plan.missing(store).values())

    def create() -> Job | None:
        missing = {role: count for role, count in plan.missing(store).items() if count}
        if not missing:
            return None
        say(_cost_sentence(missing, len(plan.models), row_seconds))
        return create_trajectory_job(store, plan, list(missing))

    while job := join_or_compute(store, plan.identity, create):
        wait(store, job)
    return first


def _cost_sentence(missing: dict[str, int], checkpoints: int, row_seconds: float | None) -> str:
    """What it takes, before it starts."""
    count = sum(missing.values())
    seconds = "" if row_seconds is None else (
        f" At a third of the time that rows took when the reference was trained, that is "
        f"{duration(_FORWARD_SHARE * count * row_seconds)}."
    )  # fmt: skip
    return (
        f"Forward passes: {len(missing)} of {checkpoints} checkpoints, {count:,} losses to compute.{seconds} Losses "
        "that are computed are kept."
    )
