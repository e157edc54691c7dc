"""Removes the folders of old settled jobs that hold nothing any more but their request, outcome and log."""

import shutil
from pathlib import Path

from ...jobs.job import Job, all_jobs

KEPT = 200
"""The newest settled jobs stay, for people to look up."""


def remove_old_jobs(workspace: Path) -> list[str]:
    """Remove all but the newest settled jobs; returns the ids of the removed.

    A job stays while it has shards, which are a second copy of losses until the store's is verified
    (`kept_shards`), or a model that was not published, or if its files cannot be read.
    """
    settled = [job for job in all_jobs(workspace) if job.is_settled]
    old = [job for job in settled[: max(0, len(settled) - KEPT)] if not _holds_results(job)]
    for job in old:
        (job.folder / "job.json").unlink()  # first, so that what a kill leaves is no job
        shutil.rmtree(job.folder, ignore_errors=True)
    return [job.job_id for job in old]


def _holds_results(job: Job) -> bool:
    return bool(job.problem or job.shards or (job.folder / "model").exists() or job.is_alive)
