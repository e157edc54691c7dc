"""A worker: python -m core.worker JOB_DIR. Computes what the job asks for and never opens the store."""

import fcntl
import logging
import signal
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import pyarrow as pa

from core import settings
from core.devices import batch_budget, resolve_device
from core.errors import CurationError, JobCancelled
from core.jobs import Job, Progress, Stopwatch, read_examples_file
from core.models import ModelSpec
from core.spool import SHARD_SCHEMA, read_shard, write_shard
from core.worker_log import in_short, log_for_people

log = logging.getLogger("worker")


def main(arguments: list[str]) -> int:
    """Run the job of the folder given; exit 0 done, 1 failed or cancelled, 2 usage."""
    if len(arguments) != 1 or not Path(arguments[0], "job.json").exists():
        sys.stderr.write("Usage: python -m core.worker JOB_DIR (a folder that holds job.json)\n")
        return 2
    job = Job(Path(arguments[0]).resolve())
    log_for_people(log)
    with open(job.folder / "worker.lock", "a", encoding="utf-8") as lock:
        if not _lock(lock):
            log.info("another worker is at this job")
            return 1
        return _run_to_outcome(job)


def _lock(lock: TextIO) -> bool:
    """Take the job. Whoever looks whether it is taken holds it for a moment too, so one refusal is not enough."""
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.05)
    return False


def _run_to_outcome(job: Job) -> int:
    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        job.cancel()

    signal.signal(signal.SIGTERM, ask_to_stop)
    try:
        result = _WORK[job.kind](job)
        job.finish({"state": "done", **result})
        log.info("done")
        return 0
    except JobCancelled as error:
        log.info("cancelled; what was finished is kept")
        job.finish({"state": "cancelled", "message": str(error)})
    except CurationError as error:
        log.info("failed: %s", error)
        job.finish({"state": "failed", "message": str(error)})
    # The worker's last line of defence: whatever broke, the person gets a sentence and the log gets the traceback.
    except Exception as error:  # noqa: BLE001
        log.info("failed unexpectedly:\n%s", traceback.format_exc())
        message = f"The worker stopped on an unexpected error ({in_short(error)}). See {job.folder.name}/worker.log."
        job.finish({"state": "failed", "message": message})
    return 1


# Scoring


def _score(job: Job) -> dict[str, Any]:
    request = job.request
    began = time.monotonic()
    tokens = 0
    for part in request["parts"]:
        tokens += _score_part(job, request, part)
    elapsed = time.monotonic() - began
    return {"tokens": tokens, "elapsed_seconds": elapsed, "tokens_per_second": tokens / elapsed if tokens else None}


def _score_part(job: Job, request: dict[str, Any], part: dict[str, Any]) -> int:
    """Compute one model's missing losses; returns the tokens that were run."""
    from core.model_loading import load_model, load_tokenizer
    from core.response_loss import measure_noise, response_losses

    role = part["role"]
    example_ids, examples, _ = read_examples_file(job, role)
    waiting = _without_finished(job, part, example_ids)
    log.info("%s: %s of %s examples to compute", role, f"{len(waiting):,}", f"{len(example_ids):,}")
    if not waiting:
        return 0
    job.report(Progress(f"loading the {role} model"))
    spec = ModelSpec(**part["model"])
    tokenizer = load_tokenizer(ModelSpec(**request["base"]))
    encoded = _encode(job, [examples[index] for index in waiting], tokenizer, request)
    ids = [example_ids[index] for index in waiting]
    spool = _Spool(job, part, ids)
    for index, item in enumerate(encoded):
        if item.reason is not None:
            spool.add(index, None, item)
    # Resolved here and not when the job was made: a job's folder may be worked on by another machine.
    device = resolve_device(request["device"])
    model = load_model(spec, request["dtype"], device)
    log.info("%s: %s on %s in %s", role, spec.label, device, request["dtype"])
    if not (job.folder / f"noise-{role}.txt").exists():
        noise = measure_noise(model, encoded)
        (job.folder / f"noise-{role}.txt").write_text(repr(noise), encoding="ascii")
        log.info("%s: noise floor %.1e nats per token", role, noise)
    stopwatch = Stopwatch(sum(len(item.input_ids) for item in encoded))
    done = len(example_ids) - sum(item.reason is None for item in encoded)
    tokens = 0
    for batch in response_losses(model, encoded, batch_budget(device), log.info):
        for index, nll_sum in zip(batch.rows, batch.nll_sums, strict=True):
            spool.add(index, float(nll_sum), encoded[index])
        stopwatch.add(batch.tokens)
        tokens += batch.tokens
        done += len(batch.rows)
        spool.flush_if_due()
        job.report(
            Progress(
                f"scoring with the {role} model",
                done,
                len(example_ids),
                "rows",
                stopwatch.tokens_per_second,
                stopwatch.seconds_left,
                stopwatch.elapsed_seconds,
            )
        )
        if job.is_cancelled:
            spool.flush()
            raise JobCancelled(f"Cancelled at {done:,} of {len(example_ids):,} rows of the {role} model.")
    spool.flush()
    log.info("%s: computed %s examples, %s tokens", role, f"{len(waiting):,}", f"{tokens:,}")
    return tokens


def _without_finished(job: Job, part: dict[str, Any], example_ids: list[str]) -> list[int]:
    """Positions of the examples that no shard of this job holds yet: a worker that died is gone on with."""
    finished: set[str] = set()
    for path in job.shards_of(part["role"]):
        finished.update(read_shard(path)["example_id"].to_pylist())
    return [index for index, example_id in enumerate(example_ids) if example_id not in finished]


def _encode(job: Job, examples: list[Any], tokenizer: Any, request: dict[str, Any]) -> list[Any]:
    from core.encoding import EncodingSpec, encode_examples

    spec = EncodingSpec(**request["encoding"])
    encoded: list[Any] = []
    step = 1000
    for start in range(0, len(examples), step):
        encoded += encode_examples(examples[start : start + step], tokenizer, spec)
        job.report(Progress("reading the examples", len(encoded), len(examples)))
        if job.is_cancelled:
            raise JobCancelled("Cancelled while reading the examples.")
    return encoded


class _Spool:
    """Collects losses and writes them as shards every few seconds."""

    def __init__(self, job: Job, part: dict[str, Any], example_ids: list[str]) -> None:
        self._folder = job.folder / "shards"
        self._prefix = job.shard_prefix(part["role"])
        self._ids = example_ids
        self._rows: list[dict[str, Any]] = []
        written = [int(path.stem.rsplit("-", 1)[1]) for path in job.shards_of(part["role"])]
        self._next = max(written, default=0) + 1
        self._due = time.monotonic() + settings.number("shard_seconds")

    def add(self, index: int, nll_sum: float | None, item: Any) -> None:
        """Add one example's loss, or its reason for having none."""
        self._rows.append(
            {
                "example_id": self._ids[index],
                "nll_sum": nll_sum,
                "token_count": item.token_count,
                "truncated": item.truncated,
                "reason": item.reason,
            }
        )

    def flush_if_due(self) -> None:
        """Write a shard if the last one is long enough ago."""
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if self._rows:
            write_shard(self._folder, f"{self._prefix}{self._next:06d}", pa.Table.from_pylist(self._rows, SHARD_SCHEMA))
            self._next += 1
            self._rows = []
        self._due = time.monotonic() + settings.number("shard_seconds")


# Estimating, training and looking for near duplicates


def _estimate(job: Job) -> dict[str, Any]:
    from core.estimating import estimate

    return estimate(job)


def _train(job: Job) -> dict[str, Any]:
    from core.training import train_reference

    return train_reference(job)


def _near_duplicates(job: Job) -> dict[str, Any]:
    from core.near_duplicate_search import find_near_duplicates

    return find_near_duplicates(job)


_WORK = {"score": _score, "estimate": _estimate, "train": _train, "near_duplicates": _near_duplicates}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
