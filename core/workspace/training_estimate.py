"""What training a reference takes, measured before it starts: time, memory, steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..data.placement import refuse_spread
from ..evidence.trial_jobs import PROBE
from ..jobs.job import Job, create_job, start_worker
from ..scoring.planning import count_rows
from ..store import Store
from ..training.training_plan import TrainRequest, train_fields, training_rows

_SAMPLE_ROWS, _EVALUATED_ROWS = 256, 32
_FIELDS = (
    "dataset", "base", "encoding", "device", "method", "learning_rate", "batch_tokens", "epochs", "lora_rank", "seed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """`seconds` of the training, loading and evaluations included, on `device`; `scoring_seconds`: of scoring the
    dataset by base and reference afterwards; `models` and `steps` of all of them; `memory_bytes`: the most at once."""

    device: str
    models: int
    steps: int
    seconds: float
    scoring_seconds: float
    memory_bytes: int

    @property
    def gpu_hours(self) -> float:
        """Hours of one GPU, scoring included; 0 on a CPU."""
        return (self.seconds + self.scoring_seconds) / 3600 if self.device == "cuda" else 0.0


def begin_training_estimate(store: Store, request: TrainRequest) -> Job:
    """Start the job that trains and scores a sample for some seconds; nothing of it is kept. Raises what
    `train_fields` raises, and `SettingInvalid` if models are to be spread."""
    refuse_spread("Training")
    fields = train_fields(store, request)
    sql, values = training_rows(store, request)
    rows = count_rows(store, request.dataset)[0]
    sample = f"""
        SELECT example_id, conversation, domain FROM (SELECT *, row_number() OVER () AS place FROM ({sql}))
        WHERE (place - 1) % {max(1, rows // _SAMPLE_ROWS)} = 0
    """
    few = f"SELECT * FROM ({sample}) LIMIT {_EVALUATED_ROWS}"
    probe = {"kind": PROBE, "name": "probe", **{name: fields[name] for name in _FIELDS}}
    job = create_job(
        store.workspace, probe, {"examples": store.batches(sample, values), "held_out": store.batches(few, values)}
    )
    start_worker(job)
    return job


def training_estimate(request: TrainRequest, rows: int, measured: Mapping[str, Any], own: bool) -> TrainingEstimate:
    """What a request takes on a dataset of so many rows, by the outcome of its probe; `own`: each row is also scored by
    the models that saw it."""
    folds, seeds = request.folds, request.seeds
    models = folds * seeds
    share = (1 - request.held_out) * (1 - 1 / folds if folds > 1 else 1)
    tokens = rows * share * request.epochs * measured["input_tokens"]
    held_out = 2 * rows * request.held_out * (math.ceil(request.epochs) + 1) * measured["held_out_tokens"]
    each = measured["loading_seconds"] + tokens / measured["training_rate"] + held_out / measured["scoring_rate"]
    passes = 1 + (models if folds == 1 or own else seeds)
    return TrainingEstimate(
        measured["device"],
        models,
        models * max(1, round(tokens / request.batch_tokens)),
        models * each,
        rows * passes * measured["input_tokens"] / measured["scoring_rate"],
        int(measured["memory_bytes"]),
    )
