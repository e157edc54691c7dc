"""Gradient similarity as a job: planned and created by the store's owner, run by a worker on this machine.

    target.parquet, examples.parquet    the target's rows, whose domains are the subtasks, and the dataset's
    target_gradients/N.npy              the mean unit gradient of each subtask at checkpoint N [subtasks x weights]
    gradients/*.parquet                 values of finished rows (`VALUES`)

A file appears whole or not at all, so a worker that is started again, and a later job of the same target and
checkpoints, take what is there.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...data import settings
from ...data.errors import NoUsableRows, SettingInvalid
from ...data.placement import refuse_spread
from ...encoding.encoding_spec import EncodingSpec
from ...importing.target_rows import TargetRows
from ...jobs.earlier_results import link_earlier_results
from ...jobs.example_chunks import ExampleFile, id_texts, packed_ids
from ...jobs.executors import CLUSTER
from ...jobs.job import Job, create_job
from ...jobs.job_progress import duration
from ...models.devices import resolve_device
from ...models.resolving import ModelSpec
from ...scoring.embeddings.embedding_jobs import dataset_ids, stored_examples
from ...store import Store
from ...store.store import DATASET_KEY
from ...system.process_facts import machine_memory
from ..kept_checkpoints import KeptCheckpoint, weight_count
from ..run_checkpoints import run_checkpoints

KIND = "gradients"
GRADIENT_RULE = 1
# How rows get their value. Raise it when the same rows would get others.
# 1: features of core.training.gradients.features, float32, mean over a subtask, sum over checkpoints, highest subtask.
MEANS_FOLDER, VALUES_FOLDER = "target_gradients", "gradients"
FINISHED = (f"{MEANS_FOLDER}/*.npy", f"{VALUES_FOLDER}/*.parquet")
VALUES = pa.schema([("example_id", pa.string()), ("value", pa.float64()), ("reason", pa.string())])
"""A row's value, null with a reason where it has none."""
_BYTES = 4
_SHARE_OF_MEMORY = 0.25


@dataclass(frozen=True, slots=True)
class GradientPlan:
    """What is computed: a run's rows, in its encoding, under the checkpoints that a reference kept. `digests`: SHA-256
    of their files; `weights`: how many are trained; `row_seconds`: what a row took when the reference was trained, None
    if that is not known."""

    dataset: str
    base: ModelSpec
    reference: ModelSpec
    encoding: EncodingSpec
    device: str
    lora_rank: int
    checkpoints: tuple[KeptCheckpoint, ...]
    digests: dict[str, str]
    weights: int
    row_seconds: float | None

    @property
    def key(self) -> str:
        """Hex digest of everything that values depend on besides the rows and the target."""
        fields = {
            "rule": GRADIENT_RULE,
            "base": self.base.weights_hash,
            **({"quantization": self.base.quantization} if self.base.quantization else {}),
            "checkpoints": [self.digests[one.file] for one in self.checkpoints],
            "rates": [one.learning_rate for one in self.checkpoints],
            "encoding": self.encoding.fingerprint,
        }
        return hashlib.blake2b(json.dumps(fields, sort_keys=True).encode(), digest_size=16).hexdigest()

    def cost_sentence(self, rows: int, targets: int) -> str:
        """What it takes, before it starts."""
        passes, count = len(self.checkpoints), len(self.checkpoints) * (rows + targets)
        seconds = "" if self.row_seconds is None else (
            f" At the speed of the reference's training that is {duration(count * self.row_seconds)}; one row at a "
            "time takes longer where rows are short."
        )  # fmt: skip
        return (
            f"Passes forward and backward: {passes}, over {rows:,} rows and {targets:,} target rows: {count:,} "
            f"gradients of {self.weights:,} weights, one after another.{seconds} What an earlier job of this target "
            "finished is not computed again."
        )


def plan_gradients(store: Store, run: str, reference: str | None = None, device: str = "auto") -> GradientPlan:
    """What gradient similarity for a run needs; nothing is loaded. `reference`: one with kept checkpoints, else the
    run's. Raises `SettingInvalid` on a cluster, and as `run_checkpoints` does."""
    if settings.text("executor") == CLUSTER:
        raise SettingInvalid("Gradients are computed on this machine only. Leave out the executor ray.")
    refuse_spread("Comparing gradients")
    found = run_checkpoints(store, run, reference)
    return GradientPlan(
        found.dataset,
        # As the reference was trained: on its gradients the moments were gathered.
        replace(found.base, quantization=found.provenance.get("quantization")),
        found.reference,
        found.encoding,
        resolve_device(device),
        int(found.provenance["lora_rank"]),
        found.checkpoints,
        found.digests,
        weight_count(found.folder / found.checkpoints[0].file),
        found.row_seconds,
    )


def check_subtasks(plan: GradientPlan, count: int) -> None:
    """Raise `NoUsableRows` if the mean gradients of so many subtasks take more than a quarter of the memory."""
    needed, allowed = count * plan.weights * _BYTES, _SHARE_OF_MEMORY * machine_memory()
    if needed > allowed:
        raise NoUsableRows(
            f"The target has {count:,} domains, and a mean gradient of {plan.weights:,} weights for each takes "
            f"{needed / 2**30:,.1f} GB, more than a quarter of this machine's memory ({allowed / 2**30:,.1f} GB). Give "
            "a target with fewer domains, or leave out --domain-field."
        )


def work_of(plan: GradientPlan, target: TargetRows) -> str:
    """Hex digest of what a row's value depends on besides the row: jobs of the same one use each other's values."""
    text = json.dumps([plan.key, [str(example.example_id) for example in target.examples], target.domains])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def create_gradient_job(store: Store, plan: GradientPlan, target: TargetRows, request: dict[str, Any]) -> Job:
    """Create the job, with what earlier jobs finished of the same `work` (a field of `request`, as of `work_of`); it is
    not started."""
    fields = {
        "kind": KIND,
        "rule": GRADIENT_RULE,
        **request,
        "dataset": plan.dataset,
        DATASET_KEY: store.dataset_key(plan.dataset),
        "base": plan.base.to_fields(),
        "reference": plan.reference.to_fields(),
        "encoding": plan.encoding.to_fields(),
        "method": "lora",
        "lora_rank": plan.lora_rank,
        "device": plan.device,
        "checkpoints": [one.to_fields() | {"sha256": plan.digests[one.file]} for one in plan.checkpoints],
    }
    columns = [
        [str(example.example_id) for example in target.examples],
        [example.to_json() for example in target.examples],
        target.domains,
    ]
    rows = pa.table(columns, names=["example_id", "conversation", "domain"])
    examples = stored_examples(store, id_texts(dataset_ids(store, plan.dataset)))
    job = create_job(store.workspace, fields, {"target": rows, "examples": examples})
    link_earlier_results(job, FINISHED, "work")
    return job


def read_values(job: Job) -> pa.Table:
    """The values of a job's finished rows (`VALUES`), each once."""
    paths = sorted((job.folder / VALUES_FOLDER).glob("*.parquet"))
    found = pa.concat_tables([VALUES.empty_table(), *(pq.read_table(path, schema=VALUES) for path in paths)])
    ids, first = np.unique(packed_ids(found["example_id"]), return_index=True)
    return found.take(first[np.isin(ids, ExampleFile(job.folder / "examples.parquet").ids)])
