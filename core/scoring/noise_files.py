"""The file of a model's numerical noise in a scoring job's folder: one line that is recognised only whole."""

import hashlib
import math
from pathlib import Path

from ..data.errors import JobIncomplete
from ..jobs.job import Job
from ..system.atomic_files import write_durably


def noise_file(job: Job, role: str) -> Path:
    """Where the noise of one model of a job is."""
    return job.folder / f"noise-{role}.txt"


def write_noise(job: Job, role: str, noise: float) -> None:
    """Keep the noise of a model [nats per token], with a digest of it and of the job and role that it is of."""
    write_durably(noise_file(job, role), [f"{noise!r} {_digest(job, role, repr(noise))}\n".encode("ascii")])


def read_noise(job: Job, role: str) -> float | None:
    """The noise of a model [nats per token]; None if it is not measured, or not all of the file has arrived yet.

    A number alone, as earlier versions wrote it, may be cut off, so it counts only once the job has ended. Raises
    `JobIncomplete` if an ended job's file is not what was written.
    """
    path = noise_file(job, role)
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    number, _, digest = text.partition(" ")
    ended = job.outcome is not None
    is_whole = digest == f"{_digest(job, role, number)}\n" or (ended and not digest)
    if is_whole and (noise := _noise(number)) is not None:
        return noise
    if not ended:
        return None
    raise JobIncomplete(
        f"{path} is not as it was written. Copy it again; or delete it, and the next scoring measures it again."
    )


def _digest(job: Job, role: str, number: str) -> str:
    return hashlib.sha256(f"{job.shard_prefix(role)} {number}".encode()).hexdigest()


def _noise(text: str) -> float | None:
    try:
        noise = float(text)
    except ValueError:
        return None
    return noise if math.isfinite(noise) and noise >= 0 else None
