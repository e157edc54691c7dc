"""What earlier jobs finished of the same work, for a new job to go on from."""

from collections.abc import Iterable

from ..system.atomic_files import linked_durably
from .job import Job, readable_jobs


def link_earlier_results(job: Job, patterns: Iterable[str], work: str) -> None:
    """Give a new job the files, by the patterns of their names, of earlier jobs of its kind whose request has the same
    field `work`; each name once, from the oldest job that has it."""
    request = job.request
    for other in readable_jobs(job.folder.parent.parent):
        if other == job or any(other.request.get(field) != request[field] for field in ("kind", work)):
            continue
        for path in (path for pattern in patterns for path in other.folder.glob(pattern)):
            own = job.folder / path.relative_to(other.folder)
            if not own.exists():
                own.parent.mkdir(exist_ok=True)
                linked_durably(path, own)
