"""What runs jobs: the protocol that an executor follows."""

from pathlib import Path
from typing import Protocol


class Executor(Protocol):
    """Runs the worker of a job, which is given by its folder (`core.jobs.job`).

    It only starts the worker, tells whether it is alive, asks it to stop and brings what it finished. The worker writes
    into the folder that it was started with; where that is a copy, `collect` brings the files back.
    """

    def start(self, folder: Path) -> object:
        """Start a worker on the job; it outlives this process. Gives something of the executor's own."""

    def is_alive(self, folder: Path) -> bool:
        """Whether a worker is at the job, or was started and is about to be."""

    def cancel(self, folder: Path) -> None:
        """Ask the worker to stop after its current batch."""

    def collect(self, folder: Path) -> None:
        """Bring progress, what the job has made (for scoring: finished shards and the noise) and, last, the outcome
        into the folder; done again it changes nothing. A job is taken in once all is there that its outcome counts."""
