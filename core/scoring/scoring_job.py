"""Runs a scoring job: computes missing losses in this process, or in several that it watches.

Nothing here imports torch: a process that only watches does not need it.
"""

import logging
import shutil
import time
from contextlib import suppress
from typing import Any

from ..data.errors import EncodingOutdated
from ..jobs.job import Job
from ..models.devices import resolve_device, scoring_processes
from ..models.resolving import ModelSpec
from .earlier_shards import drop_unsound_shards
from .passes import Pass, plan_passes, why_apart
from .processes import score_by_processes
from .progress import ProcessTally, progress_of

log = logging.getLogger("worker")

KeptEngines = dict[Any, Any]
"""The engines of the models that a process has loaded, by what they were loaded for."""


def score(job: Job, lock: int | None = None, engines: KeptEngines | None = None, number: int = 0) -> dict[str, Any]:
    """Compute the job's missing losses in one or several processes; returns tokens [of both models], seconds, and
    notices.

    lock: descriptor of the job's lock, which all these processes hold. engines: kept from job to job by a process that
    scores many parts of one; `number` tells its shards from those of others.
    """
    began = time.monotonic()
    _check_keys(job.request)
    for notice in job.request.get("description", {}).get("notices", ()):
        log.info("%s", notice)
    for role in drop_unsound_shards(job, at_work=True):
        log.info("%s: losses of an earlier version were dropped, because they may be wrong", role)
    # Rows that an earlier worker encoded may be of a tokenizer that was there only for a while.
    shutil.rmtree(job.folder / "encoded", ignore_errors=True)
    passes = planned(job)
    tokens = 0
    if any(one.waiting_rows().any() for one in passes):
        # Resolved here, not when the job was created: another machine may run the job's folder.
        device = resolve_device(job.request["device"])
        count = scoring_processes(device, job.placement) if engines is None else 1
        if count > 1:
            tokens = score_by_processes(job, passes, device, count, lock)
        else:
            tokens = _score_alone(job, passes, device, engines, number)
    elapsed = time.monotonic() - began
    job.clear()
    return {
        "tokens": tokens,
        "elapsed_seconds": elapsed,
        "tokens_per_second": tokens / elapsed if tokens else None,
        "notices": job.notices,
    }


def _check_keys(request: dict[str, Any]) -> None:
    """Raise `EncodingOutdated` if the models' cache keys are no longer those that the job was made for."""
    made_for = request.get("description", {}).get("model_fingerprints", {})
    for part in request["parts"]:
        key = ModelSpec(**part["model"]).fingerprint(request["dtype"])
        if made_for.get(part["role"], key) != key:
            raise EncodingOutdated(
                "This was started by another version of the program, which computes losses differently. Start it again."
            )


def planned(job: Job) -> list[Pass]:
    """The job's passes; logs a line on each."""
    passes = plan_passes(job)
    if reason := why_apart(job):
        log.info("%s", reason)
    for one in passes:
        one.refresh()
        for side in one.sides:
            waiting, total = int(side.waiting().sum()), int(side.wanted.sum())
            log.info("%s: %s of %s examples to compute", side.role, f"{waiting:,}", f"{total:,}")
    return passes


def _score_alone(job: Job, passes: list[Pass], device: str, engines: KeptEngines | None = None, number: int = 0) -> int:
    from .process import BaseNotKept, ScoringProcess

    began_with = [
        one.count() for one in passes
    ]  # counted once: with millions of rows this takes as long as a batch on a GPU

    def report(tally: ProcessTally) -> None:
        done, total = began_with[tally.pass_index]
        job.report(progress_of(min(total, done + tally.rows), total, [tally]))

    with suppress(BaseNotKept):  # also frees the loaded models
        return ScoringProcess(job, passes, device, report, number, engines=engines).run()
    return _score_alone(job, planned(job), device, engines, number)
