"""An executor that runs jobs in this process: tests of many small trainings do not start a process for each."""

from pathlib import Path

import pytest

from core import worker
from core.jobs.executors import DEFAULT_EXECUTOR, EXECUTORS
from core.jobs.local_executor import LocalExecutor


class InlineExecutor:
    """Runs a job's worker to its end before `start` returns."""

    def start(self, folder: Path) -> None:
        worker.run(folder)

    def is_alive(self, folder: Path) -> bool:
        return False

    def cancel(self, folder: Path) -> None:
        (folder / "cancel").touch()

    def collect(self, folder: Path) -> None:
        """Everything is in the folder already."""


def run_jobs_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, jobs run in this process."""
    monkeypatch.setitem(EXECUTORS, "inline", InlineExecutor())
    monkeypatch.setenv("LOBASS_EXECUTOR", "inline")


class InlineLocalExecutor(LocalExecutor):
    """The default executor, but for the process: pages and the queue see its jobs as those of any worker."""

    def start(self, folder: Path) -> None:  # type: ignore[override]
        worker.run(folder)


def run_default_jobs_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, jobs that name no executor run in this process."""
    monkeypatch.setitem(EXECUTORS, DEFAULT_EXECUTOR, InlineLocalExecutor())
