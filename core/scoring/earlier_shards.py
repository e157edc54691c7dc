"""Removes shards of earlier versions from a job's folder if they may hold another model's losses."""

from ..jobs.job import Job
from ..models.earlier_losses import unsound_roles
from ..models.resolving import ModelSpec
from ..system.atomic_files import sync_folder
from .noise_files import noise_file

_LOOKED_AT = "earlier-shards-checked"


def drop_unsound_shards(job: Job, at_work: bool = False) -> list[str]:
    """Remove the shards of an earlier version's job whose losses are or may be wrong; returns the roles that had some.

    at_work: called by the job's own worker before it starts. Later calls do nothing, unless a worker of the earlier
    version may still be writing.
    """
    if job.kind != "score" or job.request.get("asks_base") or (job.folder / _LOOKED_AT).exists():
        return []
    models = {part["role"]: ModelSpec(**part["model"]) for part in job.request["parts"]}
    if not models:
        return []
    may_write = not at_work and job.is_alive
    dropped = []
    for role in unsound_roles(models, job.request["dtype"], job.folder.parent.parent):
        shards = job.shards_of(role)
        for path in shards:
            path.unlink()
        noise_file(job, role).unlink(missing_ok=True)
        dropped += [role] if shards else []
    if not may_write:
        if (shards_folder := job.folder / "shards").is_dir():
            sync_folder(shards_folder)  # what was removed must not come back beside the mark
        (job.folder / _LOOKED_AT).touch()
    return dropped
