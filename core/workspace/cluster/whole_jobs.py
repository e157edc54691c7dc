"""Jobs that workers run whole: one worker a job, or one a model of a reference with folds.

What a worker writes into its copy of the folder comes back as it is written, checkpoints included, so that another one
goes on from there when it dies.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...data.errors import UserError
from ...data.json_types import checked
from ...jobs.job import Job
from ...jobs.job_progress import Progress
from ...training.recorded_models import WORK
from .crew import Task
from .job_files import FolderChanges, Piece, put_piece
from .node_worker import News

_REQUEST, _PROGRESS = "job.json", "progress.json"


@dataclass(slots=True, eq=False, kw_only=True)
class _Run(Task):
    """A task, where it was last, and how far it is there."""

    where: str = ""
    progress: Progress = field(default_factory=Progress)


class WholeJob:
    """A job as one task, or as one for each of the `models` that it makes: then the request that a worker gets says
    which is its own, in `only_model`."""

    def __init__(self, job: Job, work: str, models: Sequence[str] = ()) -> None:
        self._job, self._began = job, time.monotonic()
        self._open = [
            _Run(f"the model {model}" if model else f"the job {job.job_id}", work, self._files_of(model, models))
            for model in models or [""]
        ]
        self._total = len(self._open)
        self._running: list[_Run] = []
        self.results: list[dict[str, Any]] = []

    def is_done(self) -> bool:
        """Whether every task has returned its result."""
        return len(self.results) == self._total

    def open_count(self) -> int:
        """The tasks that are in work or can be."""
        return len(self._open) + len(self._running)

    def next(self) -> Task | None:
        """The next task."""
        if not self._open:
            return None
        self._running.append(self._open.pop(0))
        return self._running[-1]

    def take(self, task: Task, where: str, news: News) -> None:
        """Everything that the worker wrote, and its progress."""
        assert isinstance(task, _Run)
        task.where = where
        for piece in news.pieces:
            if piece.name != _PROGRESS:
                put_piece(self._job.folder, piece)
            elif piece.data is not None:
                with suppress(ValueError, UserError):  # people see it, and nothing depends on it
                    task.progress = checked(json.loads(piece.data), Progress, _PROGRESS)
        if news.result is not None:
            self._running.remove(task)
            self.results.append(news.result)

    def give_up(self, task: Task) -> None:
        """It begins again, from the checkpoints that came back."""
        assert isinstance(task, _Run)
        self._running.remove(task)
        self._open.insert(0, task)

    def is_superfluous(self, task: Task) -> bool:
        """Never: each task has one worker."""
        return False

    def progress(self, who: list[str]) -> Progress:
        """The worker's own progress, or how many models are finished; with a line on each place."""
        at_work = [run for run in self._running if run.where]
        if not at_work:
            return Progress("Starting on the cluster" if who else "Waiting for room on the cluster")
        if self._total == 1:
            return Progress(**{**at_work[0].progress.to_fields(), "notes": [at_work[0].where]})
        return Progress(
            "Training on the cluster",
            len(self.results),
            self._total,
            "models",
            elapsed_seconds=time.monotonic() - self._began,
            notes=[f"{run.where}: {run.title}, {run.progress.sentence()}" for run in at_work],
        )

    def _files_of(self, model: str, models: Sequence[str]) -> Callable[[], Iterator[Piece]]:
        def files() -> Iterator[Piece]:
            others = tuple(f"{part}/{one}/" for one in models if one != model for part in (WORK, "members"))
            for piece in FolderChanges(self._job.folder).take():
                if piece.name == _REQUEST and model:
                    request = {**self._job.request, "only_model": model}
                    yield Piece(_REQUEST, json.dumps(request, ensure_ascii=False).encode())
                elif not piece.name.startswith(others):
                    yield piece

        return files
