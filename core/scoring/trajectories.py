"""Loss trajectories: the losses of a dataset's rows under several models, such as the checkpoints of a training.

One job computes what is missing, model by model; the losses are cached like any other, and rows are encoded once.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..encoding.encoding_spec import EncodingSpec
from ..jobs.job import Job, create_job
from ..models.resolving import ModelSpec
from ..store import Store
from ..store.store import DATASET_KEY

NO_LOSS = "its loss is not finite"


@dataclass(frozen=True, slots=True)
class TrajectoryPlan:
    """What is computed: the losses of a dataset's unique rows under `models`, in order, by role; `loss_sets`: where
    they are cached."""

    dataset: str
    dataset_key: str
    base: ModelSpec
    models: Mapping[str, ModelSpec]
    encoding: EncodingSpec
    device: str
    dtype: str
    loss_sets: Mapping[str, int]

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that identify its job."""
        sets = dict(self.loss_sets)
        return {"kind": "evaluate", "dataset": self.dataset, DATASET_KEY: self.dataset_key, "loss_sets": sets}

    @property
    def fingerprints(self) -> dict[str, str]:
        """The models' cache keys, by role."""
        return {role: spec.fingerprint(self.dtype) for role, spec in self.models.items()}

    def missing(self, store: Store) -> dict[str, int]:
        """Number of losses that are not cached, by role."""
        return {role: store.missing_count(self.dataset, loss_set) for role, loss_set in self.loss_sets.items()}


@dataclass(frozen=True, slots=True)
class Trajectories:
    """The losses [rows x models, nats per token] of the examples of these ids (text), in order of id; `reasons` of the
    rows that have none under some model, with their number."""

    example_ids: pa.ChunkedArray
    losses: NDArray[np.float64]
    reasons: dict[str, int]


def plan_trajectories(
    store: Store,
    dataset: str,
    base: ModelSpec,
    models: Mapping[str, ModelSpec],
    encoding: EncodingSpec,
    device: str,
    dtype: str,
) -> TrajectoryPlan:
    """The plan for models that were resolved and checked already."""
    loss_sets = {
        role: store.ensure_loss_set(spec.fingerprint(dtype), encoding.fingerprint, spec.label)
        for role, spec in models.items()
    }
    return TrajectoryPlan(dataset, store.dataset_key(dataset), base, models, encoding, device, dtype, loss_sets)


def create_trajectory_job(store: Store, plan: TrajectoryPlan, roles: list[str]) -> Job:
    """Create the job for the missing losses of the models of these roles; it is not started."""
    models = {role: plan.models[role].to_fields() for role in roles}
    request = {
        **plan.identity,
        "description": {
            "models": models,
            "model_fingerprints": {role: plan.fingerprints[role] for role in roles},
            "encoding": plan.encoding.to_fields(),
            "encoding_fingerprint": plan.encoding.fingerprint,
            "dtype": plan.dtype,
        },
        "base": plan.base.to_fields(),
        "encoding": plan.encoding.to_fields(),
        "device": plan.device,
        "dtype": plan.dtype,
        "parts": [{"role": role, "model": models[role], "loss_set": plan.loss_sets[role]} for role in roles],
        "asks_base": True,
    }
    missing = {role: store.missing_losses(plan.dataset, plan.loss_sets[role]) for role in roles}
    return create_job(store.workspace, request, missing)


def read_trajectories(store: Store, plan: TrajectoryPlan) -> Trajectories:
    """The trajectories of a dataset's unique rows, from the cached losses."""
    sql = """
        SELECT e.example_id::VARCHAR AS example_id, nll_sum / token_count AS loss, reason
        FROM (SELECT DISTINCT example_id FROM dataset_row WHERE dataset_id = ?) e
        LEFT JOIN loss ON loss.example_id = e.example_id AND loss_set_id = ? ORDER BY e.example_id
    """
    dataset_id = store.dataset_id(plan.dataset)
    tables = [store.arrow(sql, [dataset_id, loss_set]) for loss_set in plan.loss_sets.values()]
    losses = np.stack([table["loss"].to_numpy() for table in tables], axis=1)
    finite = np.isfinite(losses).all(axis=1)
    without = [table.filter(pa.array(~finite))["reason"].to_pylist() for table in tables]
    reasons = Counter(next((found for found in given if found), NO_LOSS) for given in zip(*without, strict=True))
    return Trajectories(tables[0]["example_id"].filter(pa.array(finite)), losses[finite], dict(reasons))
