"""What an ended job made, as its outcome counts it: so that a copy of its folder is taken in whole, or not yet.

A folder is copied file by file, in any order, and a file may be cut off or another job's. So the outcome counts the
job's files (`files`, `bytes`), and has a digest of their names and contents, the request's included.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..data.errors import JobIncomplete
from ..system.file_hash import file_sha256
from .job import Job

RESULTS = "results"
"""The field of an outcome; earlier versions did not write it."""
_REQUEST = "job.json"


def counted_results(job: Job, patterns: Iterable[str]) -> dict[str, Any]:
    """The outcome's field on a job's files: the request, and those that match the patterns."""
    files = _files(job, patterns)
    return {RESULTS: _size(files) | {"sha256": _digest(job, files)}}


def check_whole(job: Job, patterns: Iterable[str], by_content: bool = True) -> None:
    """Raise `JobIncomplete` if the files of an ended job are not those that its outcome counts. Contents are read only
    if number and size are right, and never without `by_content`."""
    counted = (job.outcome or {}).get(RESULTS)
    if counted is None:
        return
    if not isinstance(counted, dict):
        raise _incomplete(job, "its outcome does not count its files as this version does")
    files = _files(job, patterns)
    found, wanted = _size(files), {name: counted.get(name) for name in ("files", "bytes")}
    if found != wanted:
        raise _incomplete(job, f"{_sized(found)} of {_sized(wanted)} are here")
    if by_content and _digest(job, files) != counted.get("sha256"):
        raise _incomplete(job, "its files are not those that it made")


def _files(job: Job, patterns: Iterable[str]) -> list[Path]:
    """Not hidden ones, under which writers and copying programs keep what is unfinished."""
    found = {path for pattern in (_REQUEST, *patterns) for path in job.folder.glob(pattern)}
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _size(files: list[Path]) -> dict[str, int]:
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def _digest(job: Job, files: list[Path]) -> str:
    lines = [f"{file_sha256(path)}  {path.relative_to(job.folder).as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _sized(size: dict[str, Any]) -> str:
    return " files with ".join(f"{part:,}" if isinstance(part, int) else "?" for part in size.values()) + " bytes"


def _incomplete(job: Job, why: str) -> JobIncomplete:
    return JobIncomplete(
        f"The job {job.job_id} is not whole here: {why}. It is taken in once the rest has arrived; if nothing is being "
        f"copied any more, copy {job.folder} again from where it ran, or remove it and start its work again (losses "
        "that are here are kept)."
    )
