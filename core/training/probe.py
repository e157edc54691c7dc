"""A probe before many trainings: how fast this base trains and scores here, and how long the rows are."""

import time
from typing import Any

from transformers import TrainerCallback

from ..data import settings
from ..data.errors import JobCancelled, NoUsableRows
from ..engine.response_loss import ResponseScorer
from ..engine.training_engine import TrainingEngine
from ..jobs.job import Job
from ..jobs.job_progress import Progress
from ..models.devices import batch_budget, resolve_device
from ..models.loading import peak_memory
from .memory_plan import plan_memory
from .trainable_model import trainable_model
from .trainer import ReferenceTrainer
from .training_data import TrainingData, members_of
from .training_plan import check_numbers

_MOST_PASSES = 100


class _StopAfter(TrainerCallback):  # type: ignore[misc]
    """Stops a training after some seconds, at least after its second step; the first is not timed, it warms up."""

    def __init__(self, job: Job, seconds: float) -> None:
        self._job, self._seconds = job, seconds
        self.began = 0.0
        self.elapsed = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            self.began = time.monotonic()
            return
        self.elapsed = time.monotonic() - self.began
        if self.elapsed >= self._seconds or self._job.is_cancelled:
            control.should_training_stop = True


def probe(job: Job) -> dict[str, Any]:
    """Train and score samples for some seconds each. Returns training_rate and scoring_rate [input tokens per second],
    input_tokens and scored_tokens [mean per training row], held_out_tokens [mean input tokens per held-out row],
    loading_seconds, from the start of a job to its first step, device, and memory_bytes (`peak_memory`)."""
    check_numbers(job.request)
    began = time.monotonic()
    job.report(Progress("Reading a sample of the examples"))
    data, member, request = TrainingData.of(job), members_of(job)[0], job.request
    rows = data.rows_of(member)
    if not rows or not data.apart:
        raise NoUsableRows("No row of the sample has a response to train on or to evaluate.")
    device = resolve_device(request["device"])
    model = trainable_model(request, device)
    engine = TrainingEngine(model)
    lengths = [len(data.encoded[row].input_ids) for row in rows]
    memory = plan_memory(engine, model, lengths, request["batch_tokens"], device)
    job.report(Progress("Timing the training"))
    encoded = [data.encoded[row] for row in rows]
    timed = {**request, "device": device, "epochs": _MOST_PASSES, "budget": None}
    trainer = ReferenceTrainer(job.folder, model, encoded, [""] * len(encoded), timed, engine, memory.part_tokens)
    stop = _StopAfter(job, settings.number("probe_seconds"))
    trainer.add_callback(stop)
    trainer.train()
    if job.is_cancelled:
        raise JobCancelled("The estimate was cancelled. Nothing was planned.")
    steps = trainer.state.global_step
    trained = trainer.tokens(steps)["input_tokens"] - trainer.tokens(1)["input_tokens"]
    return {
        "loading_seconds": stop.began - began,
        "training_rate": trained / stop.elapsed,
        "scoring_rate": _scoring_rate(job, engine, model, data, device),
        "input_tokens": _mean([len(item.input_ids) for item in encoded]),
        "scored_tokens": _mean([item.token_count for item in encoded]),
        "held_out_tokens": _mean([len(row.encoded.input_ids) for row in data.apart]),
        "device": device,
        "memory_bytes": peak_memory(device),
    }


def _scoring_rate(job: Job, engine: TrainingEngine, model: Any, data: TrainingData, device: str) -> float:
    job.report(Progress("Timing the evaluation"))
    model.eval()
    scorer, tokens, began = ResponseScorer([engine], batch_budget(device)), 0, time.monotonic()
    while time.monotonic() - began < settings.number("probe_seconds") / 4:
        for batch in scorer.losses([row.encoded for row in data.apart]):
            tokens += batch.tokens
    return tokens / (time.monotonic() - began)


def _mean(numbers: list[int]) -> float:
    return sum(numbers) / len(numbers)
