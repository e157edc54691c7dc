"""Takes in what jobs have finished, again and again: a job that cannot be taken in never hinders another."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from ..data.errors import UserError, WriteFailed
from ..jobs.executors import EXECUTORS
from ..jobs.job import Job
from ..store import Store
from ..system.worker_log import in_short

log = logging.getLogger(__name__)

_State = tuple[tuple[str, int, int], ...]
"""A folder's files: path, size and time of change."""


@dataclass(frozen=True, slots=True)
class _SetAside:
    """Why a job was set aside, and its files when that was tried; None: try it again."""

    problem: UserError | OSError
    files: _State | None


class Intake:
    """The jobs of a store's workspace as they are taken in.

    A job that fails twice with the same files is set aside until they change or the program is started again; if the
    disk refused, it is tried again in each round. Settled jobs are looked at once. `ingest` takes one job in.
    """

    def __init__(self, store: Store, ingest: Callable[[Store, Job], None]) -> None:
        self._store, self._ingest = store, ingest
        self._settled: set[str] = set()
        self._aside: dict[str, _SetAside] = {}

    @property
    def problems(self) -> list[UserError | OSError]:
        """Why the jobs that are set aside could not be taken in."""
        return [aside.problem for aside in list(self._aside.values())]

    def take_in(self) -> None:
        """One round over the jobs that are not settled."""
        jobs = self.open_jobs()
        for gone in self._aside.keys() - {job.job_id for job in jobs}:
            del self._aside[gone]
        for job in jobs:
            before = self._aside.get(job.job_id)
            files = _files(job) if before else None  # of most jobs, nobody needs to know them
            if before is None or before.files is None or before.files != files:
                self._take_in(job, files)

    def open_jobs(self) -> list[Job]:
        """The jobs that are not settled, oldest first."""
        jobs = self._store.workspace / "jobs"
        names = set(os.listdir(jobs)) if jobs.is_dir() else set()
        self._settled &= names
        found = []
        for job in [Job(jobs / name) for name in sorted(names - self._settled)]:
            if not (job.folder / "job.json").exists():
                continue
            if job.is_settled:
                self._settled.add(job.job_id)
            else:
                found.append(job)
        return found

    def _take_in(self, job: Job, files: _State | None) -> None:
        try:
            # Results of an executor that this program lacks are brought by one that has it.
            if job.executor_name in EXECUTORS:
                self._ingest(self._store, job)
        except (WriteFailed, OSError) as error:
            self._aside[job.job_id] = _SetAside(error, None)
        except UserError as error:
            self._aside[job.job_id] = _SetAside(error, files)
        # Whatever is wrong with one job, the others are taken in; the log has what a sentence cannot say.
        except Exception as error:
            if job.job_id not in self._aside:
                log.warning("The job %s could not be taken in:", job.job_id, exc_info=True)
            sentence = f"The job {job.folder} cannot be taken in ({in_short(error)}). The log says more."
            self._aside[job.job_id] = _SetAside(UserError(sentence), files)
        else:
            self._aside.pop(job.job_id, None)


def _files(job: Job) -> _State:
    found = []
    for folder, _, names in os.walk(job.folder):
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
            except OSError:  # a worker has removed it meanwhile
                continue
            found.append((path, status.st_size, status.st_ctime_ns))
    return tuple(sorted(found))
