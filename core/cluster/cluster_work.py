"""What the worker process of a job does whose executor is a Ray cluster: it watches while the cluster computes."""

import time
from typing import Any

from ..data.errors import JobFailed
from ..jobs.job import Job
from .connection import connect
from .crew import Crew
from .scoring_parts import ScoringParts
from .whole_jobs import WholeJob

SCORING = "scoring.scoring_job:score"


def work_on_cluster(job: Job, work: str) -> dict[str, Any]:
    """Have a job's work, `module:function` of this package, done on its cluster; gives what the work returns. Raises
    `JobFailed` or `JobCancelled`."""
    ray = connect(job)
    try:
        crew = Crew(ray, job)
        if work == SCORING:
            return _score(job, crew)
        whole = WholeJob(job, work)
        crew.run(whole, lambda: "Cancelled while it ran on the cluster; what came back is kept.")
        if whole.result is None:
            raise JobFailed("The work ended on the cluster without a result. Start it again.")
        return whole.result
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
    job.clear()
    return {
        "tokens": tokens,
        "elapsed_seconds": elapsed,
        "tokens_per_second": tokens / elapsed if tokens else None,
        "notices": job.notices,
    }
