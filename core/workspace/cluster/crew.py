"""The workers of a job on the cluster: started where there is room, given one task after another, replaced if they die.

What a task is and what becomes of its news is the affair of a `Tasks`. This process alone writes into the job's folder;
if it ends, Ray ends its workers.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from ...data.errors import JobCancelled, JobFailed
from ...data.settings import SETTINGS
from ...data.version import __version__
from ...jobs.job import Job
from ...jobs.job_progress import Progress
from .job_files import Piece
from .model_staging import model_folders
from .node_worker import Greeting, News, NodeWorker
from .ray_connection import Room, option, room_of, workers_possible

log = logging.getLogger("worker")
_LOOK_SECONDS = 0.5
_MOST_DEATHS = 5
"""A task that so many workers died at is not given to another."""


@dataclass(slots=True)
class Task:
    """Something for one worker to do: the function to run and, when it is given out, the files of its folder."""

    title: str
    work: str
    files: Callable[[], Iterator[Piece]]
    deaths: int = 0
    began: float = 0.0


class Tasks(Protocol):
    """What a crew does."""

    def is_done(self) -> bool:
        """Whether nothing is left to do or to wait for."""

    def open_count(self) -> int:
        """How many tasks could be worked on at once now, those in work included."""

    def next(self) -> Task | None:
        """The next task to give out, or None if there is none now."""

    def take(self, task: Task, where: str, news: News) -> None:
        """Take in what a worker made."""

    def give_up(self, task: Task) -> None:
        """A worker died, or was dismissed, at the task: it is to be given out again if something of it is missing."""

    def is_superfluous(self, task: Task) -> bool:
        """Whether another worker has done what this task was to do."""

    def progress(self, who: list[str]) -> Progress:
        """The progress of all, `who` being a line on each place that computes."""


@dataclass(slots=True)
class _Worker:
    """An actor and what is awaited of it: its greeting, the copying of models, or the news of its task."""

    actor: Any
    awaited: Any
    greeting: Greeting | None = None
    ready: bool = False
    task: Task | None = None


class Crew:
    """Runs tasks to their end on the cluster that `ray` is connected to."""

    def __init__(self, ray: Any, job: Job) -> None:
        self._ray, self._job = ray, job
        self._folders = model_folders(job.request)
        self._room: Room = room_of(ray, job)
        self._workers: list[_Worker] = []
        self._failed_starts = 0
        self._looked = 0.0
        log.info("on the cluster, each worker takes %s", self._room)

    def run(self, tasks: Tasks, cancelled: Callable[[], str]) -> None:
        """Run all tasks. Raises `JobCancelled` with that sentence, or `JobFailed`; the workers are gone afterwards."""
        try:
            while not tasks.is_done():
                if self._job.is_cancelled:
                    raise JobCancelled(cancelled())
                self._round(tasks)
            self._job.report(tasks.progress(self._who()))
        finally:
            for worker in list(self._workers):
                self._dismiss(worker)

    def expected_workers(self) -> int:
        """How many workers there are to be: as many as the setting says, or as the nodes hold that are there now."""
        return int(option(self._job, "ray_workers")) or max(1, workers_possible(self._ray, self._room))

    def _round(self, tasks: Tasks) -> None:
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._grow(tasks)
            self._job.report(tasks.progress(self._who()))
        for worker in self._workers:
            if worker.ready and worker.task is None and (task := tasks.next()):
                self._begin(worker, task)
        for worker in self._heard():
            self._listen(worker, tasks)
        for worker in list(self._workers):
            if worker.task and tasks.is_superfluous(worker.task):
                self._dismiss(worker)

    def _grow(self, tasks: Tasks) -> None:
        """Workers for all tasks, as many as the nodes hold or the setting says: a node that joins gets its own."""
        for _ in range(min(self.expected_workers(), tasks.open_count()) - len(self._workers)):
            actor = (
                self._ray.remote(NodeWorker)
                .options(num_cpus=self._room.cpus, num_gpus=self._room.gpus, scheduling_strategy="SPREAD")
                .remote(_environment())
            )
            self._workers.append(_Worker(actor, actor.greet.remote(self._folders)))

    def _begin(self, worker: _Worker, task: Task) -> None:
        task.began = time.monotonic()
        files = [self._ray.put(piece) for piece in task.files()]
        worker.task = task
        worker.awaited = worker.actor.run.remote(self._job.job_id, task.work, files)
        assert worker.greeting is not None
        log.info("%s: %s", worker.greeting.where, task.title)

    def _heard(self) -> list[_Worker]:
        """The workers that something is known of, as soon as there is one, or none after some time."""
        awaited = {worker.awaited: worker for worker in self._workers if worker.awaited is not None}
        if not awaited:
            time.sleep(_LOOK_SECONDS)
            return []
        everything = list(awaited)
        if self._ray.wait(everything, num_returns=1, timeout=_LOOK_SECONDS)[0]:
            return [awaited[one] for one in self._ray.wait(everything, num_returns=len(everything), timeout=0)[0]]
        return []

    def _listen(self, worker: _Worker, tasks: Tasks) -> None:
        try:
            if worker.task is None:
                self._prepare(worker)
            else:
                self._take_news(worker, worker.task, tasks)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError) as error:
            self._bury(worker, tasks, error)
        except self._ray.exceptions.RayTaskError as error:
            raise JobFailed(_unexpected(worker, error)) from error

    def _take_news(self, worker: _Worker, task: Task, tasks: Tasks) -> None:
        """What there is; the next round looks again."""
        assert worker.greeting is not None
        try:
            news: News = self._ray.get(next(worker.awaited))
        except StopIteration:
            self._bury(worker, tasks, RuntimeError("its work ended without a result"))
            return
        for line in news.lines:
            log.info("%s: %s", worker.greeting.where, line)
        if news.problem is not None:
            raise JobFailed(news.problem)
        if news.result is not None:
            worker.task, worker.awaited = None, None
        tasks.take(task, worker.greeting.where, news)

    def _prepare(self, worker: _Worker) -> None:
        """The next step of a worker that is not ready: what it lacks is copied to its node."""
        answer = self._ray.get(worker.awaited)
        worker.awaited = None
        if worker.greeting is None:
            worker.greeting = answer
            if answer.version != __version__:
                raise JobFailed(
                    f"{answer.where} has version {answer.version} of this program, not {__version__}. Install the same "
                    "on every node."
                )
            if lacking := [folder for folder in self._folders if folder.digest in answer.lacks]:
                log.info("%s: copying %s", answer.where, ", ".join(folder.path for folder in lacking))
                worker.awaited = worker.actor.stage.remote(lacking, self._here())
                return
        worker.ready, self._failed_starts = True, 0

    def _here(self) -> str:
        """The id of this process's node, which has the models' files."""
        return str(self._ray.get_runtime_context().get_node_id())

    def _bury(self, worker: _Worker, tasks: Tasks, error: Exception) -> None:
        who = f"the worker on {worker.greeting.where}" if worker.greeting else "a worker that was starting"
        log.info("%s was lost; another one goes on with its work", who)
        task = worker.task
        self._dismiss(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_DEATHS:
                log.info("%s", error)
                last = (str(error).strip().splitlines() or [""])[-1][:300]
                raise JobFailed(f"No worker could be started on the cluster ({last}). See the job's worker.log.")
        if task is not None:
            task.deaths += 1
            if task.deaths >= _MOST_DEATHS:
                raise JobFailed(
                    f"{task.title}: {task.deaths} workers died at it, at last {who}. Its memory may be too "
                    f"small: give a worker more with LOBASS_RAY_CPUS or LOBASS_RAY_GPUS. What was finished is kept."
                ) from error
            tasks.give_up(task)

    def _dismiss(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        self._ray.kill(worker.actor, no_restart=True)

    def _who(self) -> list[str]:
        """The places where workers are, those that are ready."""
        return [worker.greeting.where for worker in self._workers if worker.ready and worker.greeting]


def _environment() -> dict[str, str]:
    """This process's settings, for the workers; where things are is each node's own affair."""
    own = {"workspace", "executor", "allowed_folders"}
    variables = [setting.variable for setting in SETTINGS if setting.name not in own]
    return {name: os.environ[name] for name in variables if name in os.environ}


def _unexpected(worker: _Worker, error: Any) -> str:
    where = worker.greeting.where if worker.greeting else "a node"
    cause = getattr(error, "cause", None) or error
    log.info("%s", error)
    lines = str(cause).strip().splitlines() or [""]
    return f"A worker on {where} stopped on an unexpected error ({type(cause).__name__}: {lines[-1][:300]})."
