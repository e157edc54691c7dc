"""A finished training job's model gets its place in the workspace's `models/`."""

from pathlib import Path

from ..data.errors import JobIncomplete, JsonInvalid, NameTaken
from ..jobs.job import Job
from ..models.folder_check import read_json
from ..models.provenance import FILES, PROVENANCE, damages, listed_files, provenance_bytes
from ..store import Store
from ..system.atomic_files import flush_folder, rename_durably, write_durably
from ..system.paths import is_folder_name
from ..system.workspace_files import make_private_folder


def publish_reference(store: Store, job: Job) -> None:
    """Move the trained model to `models/NAME` by a rename, so it is there completely or not at all.

    Repeating changes nothing. Raises `NameTaken` if another reference has got the name meanwhile, `JobIncomplete` if
    the model has not arrived.
    """
    source, target = job.folder / "model", _target(store, job)
    if not (source / PROVENANCE).exists():
        if _has_identity(target, job):
            return  # published before a crash
        raise JobIncomplete(f"The model of the job {job.job_id} is not in {source} yet. Copy it there to go on.")
    if target.exists():
        raise NameTaken(
            f"A reference named {target.name!r} was made while this one was trained. This one stays in {source}: "
            "name that folder as the reference."
        )
    provenance = read_json(source / PROVENANCE)
    for sentence in damages(source, provenance):
        raise JobIncomplete(
            f"The model of the job {job.job_id} is not whole here. {sentence} Copy {source} again from where it was "
            "trained, or remove the job's folder and train again."
        )
    provenance["identity"] = job.request["identity"]
    provenance.setdefault(FILES, listed_files(source))  # workers of earlier versions did not list them
    flush_folder(source)  # it may have been copied here
    write_durably(source / PROVENANCE, [provenance_bytes(provenance)])
    make_private_folder(target.parent)
    rename_durably(source, target)


def is_being_published(store: Store, job: Job) -> bool:
    """Whether the job's model was found whole and has got its identity, or its place as well, before a crash."""
    return any(_has_identity(folder, job) for folder in (job.folder / "model", _target(store, job)))


def _has_identity(folder: Path, job: Job) -> bool:
    return bool(read_json(folder / PROVENANCE).get("identity") == job.request["identity"])


def _target(store: Store, job: Job) -> Path:
    name = job.request["name"]
    if not isinstance(name, str) or not is_folder_name(name):
        raise JsonInvalid(f"The job {job.job_id} names a reference {str(name)[:60]!r}, which cannot be a name.")
    return store.workspace / "models" / name
