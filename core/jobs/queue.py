"""The queue: a job that computes with models waits until no other one runs on this machine, or only such as it may run
beside (`core.jobs.side_by_side`).

A waiting job has a file `waiting.json` in its folder with its place, so that the queue outlives whoever started it.
The owner of the store starts the next job (`start_next`), again and again. Estimates and searches for near-duplicates
do not wait, and neither do jobs of other executors, which have queues of their own.
"""

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..data.errors import NotFound, UserError
from ..system.atomic_files import write_durably
from ..system.permission import require_change
from ..system.untrusted_json import read_json_object
from .executors import DEFAULT_EXECUTOR
from .job import WAITING, Job, all_jobs, start_worker, unfinished
from .job_progress import Progress
from .side_by_side import has_room, take_slot

_TAKES_TURNS = ("score", "train", "evaluate", "embed", "like_file", "gradients", "generate", "trial_cell")
_LOCK = threading.RLock()  # pages start and move jobs while the supervisor's thread starts the next one
_CANCELLED = "Cancelled while it waited in the queue."


def start_or_wait(job: Job) -> None:
    """Start a worker on the job, or let it wait behind those that run or wait."""
    require_change()
    if not _takes_turns(job):
        start_worker(job)
        return
    with _LOCK:
        others = _unsettled(job.folder.parent.parent)
        waiting = [other for other in waiting_jobs(others) if other != job]
        (job.folder / "cancel").unlink(missing_ok=True)
        (job.folder / "outcome.json").unlink(missing_ok=True)
        _write_places([*waiting, job])
        start_next(others)


def join_or_start(workspace: Path, identity: dict[str, Any], create: Callable[[], Job]) -> Job:
    """The unfinished job of that identity, started if it neither runs nor waits, or a new job from `create`.

    A job that is done but not yet ingested is not started again.
    """
    job = unfinished(all_jobs(workspace), identity)
    if job is None or job.state in ("failed", "cancelled"):
        job = create()
    if job.state not in ("running", "waiting", "done"):
        start_or_wait(job)
    return job


def start_next(jobs: Iterable[Job]) -> None:
    """Start the first waiting ones of these unsettled jobs, if they have room beside those that run; repeating changes
    nothing more."""
    with _LOCK:
        readable = [job for job in jobs if job.problem is None]
        waiting = waiting_jobs(readable)
        running = [job for job in readable if waiting and _takes_turns(job) and job.is_alive]
        while waiting and has_room(waiting[0], running):
            job = waiting.pop(0)
            job.report(Progress())
            take_slot(job, running)
            start_worker(job)
            running.append(job)
            _write_places(waiting)


def waiting_jobs(jobs: Iterable[Job]) -> list[Job]:
    """Those of the jobs that wait, the next one first."""
    return sorted((job for job in jobs if job.problem is None and job.state == "waiting"), key=_place)


def queue(workspace: Path) -> list[Job]:
    """The waiting jobs of a workspace, the next one first."""
    return waiting_jobs(_unsettled(workspace))


def is_next(job: Job) -> bool:
    """Whether a waiting job is the first of the queue."""
    return _place(job)[0] <= 1


def ordinal(number: int) -> str:
    """A place as text: "1st", "12th"."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def move_up(job: Job, to_front: bool = False) -> None:
    """Let a waiting job change places with the one before it, or go before all others. Raises `NotFound` if it does
    not wait."""
    require_change()
    with _LOCK:
        waiting = queue(job.folder.parent.parent)
        if job not in waiting:
            raise NotFound(f"The job {job.job_id} is not waiting, so it has no place in the queue.")
        place = waiting.index(job)
        waiting.insert(0 if to_front else max(0, place - 1), waiting.pop(place))
        _write_places(waiting)


def cancel(job: Job) -> None:
    """End a job that waits, or ask its worker to stop after its current batch; computed losses are kept."""
    with _LOCK:
        if job.state != "waiting":
            job.cancel()
            return
        require_change()
        job.finish({"state": "cancelled", "message": _CANCELLED})
        job.report(Progress("Cancelled"))
        (job.folder / WAITING).unlink(missing_ok=True)
        _write_places(queue(job.folder.parent.parent))


def _unsettled(workspace: Path) -> list[Job]:
    return [job for job in all_jobs(workspace) if not job.is_settled]


def _takes_turns(job: Job) -> bool:
    return job.executor_name == DEFAULT_EXECUTOR and job.kind in _TAKES_TURNS


def _place(job: Job) -> tuple[float, str]:
    try:
        place = read_json_object(job.folder / WAITING).get("place")
    except (UserError, OSError):  # it was started meanwhile, or the file is damaged: last, in order of age
        place = None
    return (float(place) if isinstance(place, int) else float("inf"), job.job_id)


def _write_places(waiting: list[Job]) -> None:
    """Places from 1, also as the jobs' progress, for people."""
    for place, job in enumerate(waiting, 1):
        if _place(job)[0] != place:
            write_durably(job.folder / WAITING, [json.dumps({"place": place}).encode()])
            job.report(Progress(f"Waiting, {ordinal(place)} in the queue"))
