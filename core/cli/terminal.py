"""The command line's manners: progress and errors on stderr, results on stdout, one sentence for what went wrong."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..data import settings
from ..data.errors import UserError
from ..data.version import COMMAND
from ..jobs.job import Job
from ..store import Store
from ..system.asking import Fields
from ..system.disk_errors import translate_disk_errors
from ..workspace import holding, running

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(sentence: str) -> None:
    """A sentence on stderr."""
    console.print(sentence, markup=False)


def owned_store(workspace: Path | None, command: str) -> AbstractContextManager[Store]:
    """The workspace's store, open for one command, after ingesting what workers have finished."""
    return holding.owned(settings.workspace_path(workspace), f"{COMMAND} {command}", say)


def readable_store(workspace: Path | None, command: str) -> AbstractContextManager[Store]:
    """The workspace's store for a command that only reads it: a snapshot of it while another process owns it."""
    return holding.readable(settings.workspace_path(workspace), f"{COMMAND} {command}", say)


def done_by_owner(workspace: Path | None, command: str, fields: Fields) -> Fields:
    """What the command of that name gives, done here or by the process that owns the workspace."""
    return holding.done_by_owner(settings.workspace_path(workspace), f"{COMMAND} {command}", command, fields, say)


@contextmanager
def report_user_errors() -> Iterator[None]:
    """Turn a `UserError`, or a disk's refusal, into its sentence on stderr and exit code 1."""
    try:
        with translate_disk_errors("The workspace or the output"):
            yield
    except UserError as error:
        console.print(str(error), style="bold red", markup=False)
        raise typer.Exit(1) from error


def print_result(fields: dict[str, Any], as_json: bool, sentence: str) -> None:
    """The command's one result on stdout: a JSON object, or a sentence for people. Exits with 1, quietly, if nobody
    reads it."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(fields, ensure_ascii=not is_unicode, default=str) if as_json else sentence
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # Python writes what is left when it ends, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(1) from error
        raise


def wait_for(store: Store, *jobs: Job) -> dict[str, Any]:
    """Show the progress of a job, or of several, until the first ends; returns its outcome. See
    `core.workspace.running.wait_for_first`."""
    names = {job.job_id: f"{job.request.get('cell', job.job_id)}: " for job in jobs} if len(jobs) > 1 else {}
    with _progress_bars(names) as show:
        return running.wait_for_first(store, jobs, show, say)


@contextmanager
def _progress_bars(names: Mapping[str, str]) -> Iterator[Callable[[Job], None]]:
    """A function that shows a job's progress: a bar on a terminal, a line per phase elsewhere. `names`: of several
    jobs, by id, as their lines begin."""
    if not console.is_terminal:
        last: dict[str, str] = {}

        def print_phase(job: Job) -> None:
            phase = job.progress.phase
            if phase != last.get(job.job_id, ""):
                console.print(names.get(job.job_id, "") + phase)
                last[job.job_id] = phase

        yield print_phase
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = defaultdict(lambda: bar.add_task("", total=1.0))

        def draw(job: Job) -> None:
            progress, name = job.progress, names.get(job.job_id, "")
            bar.update(tasks[job.job_id], description=name + progress.sentence(), completed=progress.share)

        yield draw
