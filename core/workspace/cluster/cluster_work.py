"""What the worker process of a job does whose executor is a Ray cluster: it watches while the cluster computes."""

import time
from collections.abc import Callable
from typing import Any

from ...jobs.job import Job, read_examples_file
from ...models.provenance import PROVENANCE
from .crew import Crew
from .ray_connection import connect
from .scoring_parts import SCORING, ScoringParts
from .whole_jobs import WholeJob

_STOPPED = "Cancelled while it ran on the cluster."


def work_on_cluster(job: Job, work: str, function: Callable[[], Callable[..., dict[str, Any]]]) -> dict[str, Any]:
    """Have a job's work, `module:function` of this package, done on its cluster; gives what the work returns. Raises
    `JobFailed` or `JobCancelled`. `function` imports the work, for what is left to do here."""
    ray = connect(job)
    try:
        crew = Crew(ray, job)
        if work == SCORING:
            return _score(job, crew)
        if job.request.get("members"):
            return _train_models(job, crew, work, function)
        whole = WholeJob(job, work)
        crew.run(whole, lambda: _STOPPED)
        return whole.results[0]
    finally:
        ray.shutdown()


def _score(job: Job, crew: Crew) -> dict[str, Any]:
    began, tokens = time.monotonic(), 0
    while True:
        parts = ScoringParts(job, crew.expected_workers())
        crew.run(parts, parts.cancelled_sentence)
        tokens += parts.tokens
        if not parts.is_outdated:
            break
    elapsed = time.monotonic() - began
    return {
        "tokens": tokens,
        "elapsed_seconds": elapsed,
        "tokens_per_second": tokens / elapsed if tokens else None,
        "notices": job.notices,
    }


def _train_models(
    job: Job, crew: Crew, work: str, function: Callable[[], Callable[..., dict[str, Any]]]
) -> dict[str, Any]:
    """The models of a reference with folds, side by side. The work itself, run here, then finds each finished and makes
    one reference of them."""
    from ...training.folding import folds_of  # needs the search for near-duplicates, which others do not

    began = time.monotonic()
    example_ids, _, domains = read_examples_file(job, "examples")
    folds_of(job, example_ids, domains)
    names = [one["model"] for one in job.request["members"]]
    finished = [job.folder / part for part in ("members", "model")]
    missing = [name for name in names if not any((part / name / PROVENANCE).exists() for part in finished)]
    if missing:
        crew.run(WholeJob(job, work, missing), lambda: _STOPPED)
    return {**function()(job), "elapsed_seconds": time.monotonic() - began}
