"""Jobs that workers run whole: one worker a job, or one a model of a reference with folds.

What a worker writes into its copy of the folder comes back as it is written, checkpoints included, so that another one
goes on from there when it dies.
"""

from collections.abc import Iterator
from typing import Any

from ..jobs.job import Job
from ..jobs.job_progress import Progress
from .crew import Task
from .job_files import FolderChanges, Piece, put_piece
from .node_worker import News


class WholeJob:
    """A job as one task."""

    def __init__(self, job: Job, work: str) -> None:
        self._job = job
        self._open: list[Task] = [Task(f"the job {job.job_id}", work, self._files)]
        self._running: list[Task] = []
        self._where = ""
        self.result: dict[str, Any] | None = None

    def is_done(self) -> bool:
        """Whether the worker has returned its result."""
        return self.result is not None

    def open_count(self) -> int:
        """One, until it is done."""
        return len(self._open) + len(self._running)

    def next(self) -> Task | None:
        """The task, unless a worker has it."""
        if not self._open:
            return None
        self._running.append(self._open.pop())
        return self._running[-1]

    def take(self, task: Task, where: str, news: News) -> None:
        """Everything that the worker wrote."""
        self._where = where
        for piece in news.pieces:
            put_piece(self._job.folder, piece)
        if news.result is not None:
            self._running.remove(task)
            self.result = news.result

    def give_up(self, task: Task) -> None:
        """It begins again, from the checkpoints that came back."""
        self._running.remove(task)
        self._open.append(task)

    def is_superfluous(self, task: Task) -> bool:
        """Never: there is one worker."""
        return False

    def progress(self, who: list[str]) -> Progress:
        """The worker's own, with its place."""
        found = self._job.progress
        if not who:
            return Progress("Waiting for room on the cluster")
        return Progress(**{**found.to_fields(), "notes": [self._where or who[0]]})

    def _files(self) -> Iterator[Piece]:
        return FolderChanges(self._job.folder).take()
