"""Which jobs of the queue may run side by side: those of one trial, as many as their requests say, each in a slot.

A slot is a number from 0. Its worker takes the GPU of that number, or its share of the cores (`core.worker`). It is
chosen when the worker starts, and lies in the job's folder (`slot.json`), so no two running jobs have the same one.
"""

import json
from collections.abc import Collection
from typing import Any

from ..data.errors import UserError
from ..system.atomic_files import write_durably
from ..system.untrusted_json import read_json_object
from .job import SLOT, Job

MOST_AT_ONCE = 256


def side_by_side(trial: str, cell: str, count: int) -> dict[str, Any]:
    """Fields of a request for one of `count` jobs of a trial; they are no part of what identifies the job."""
    return {"trial": trial, "cell": cell, "at_once": count}


def at_once_of(job: Job) -> int:
    """How many jobs of its trial may run at once, this one included; 1 for every other job."""
    count = job.request.get("at_once")
    return count if type(count) is int and 1 < count <= MOST_AT_ONCE else 1


def has_room(job: Job, running: Collection[Job]) -> bool:
    """Whether a job may start beside those that run: none of them has more beside it than its request says."""
    trial = job.request.get("trial")
    return not running or (
        all(other.request.get("trial") == trial for other in running)
        and len(running) < min(at_once_of(one) for one in (job, *running))
    )


def take_slot(job: Job, running: Collection[Job]) -> None:
    """Give a job that is about to start the first slot that none of those that run has."""
    if (count := at_once_of(job)) > 1:
        taken = {slot_of(other) for other in running}
        slot = next(number for number in range(count) if number not in taken)
        write_durably(job.folder / SLOT, [json.dumps({"slot": slot}).encode()])


def slot_of(job: Job) -> int | None:
    """A job's slot; None if it needs none, or has none yet."""
    try:
        slot = read_json_object(job.folder / SLOT).get("slot")
    except (UserError, OSError):
        return None
    return slot if type(slot) is int and 0 <= slot < at_once_of(job) else None
