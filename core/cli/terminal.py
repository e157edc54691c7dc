"""The command line's manners: progress and errors on stderr, results on stdout, one sentence for what went wrong."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ..data import settings
from ..data.errors import UserError, WorkspaceLocked
from ..jobs.job import Job
from ..maintenance.kept_shards import notices_of
from ..store import Store
from ..supervision.supervisor import check_outcome, ingest_finished_job, ingest_finished_jobs
from ..system.asking import Fields, asked, own_or_ask
from ..system.disk_errors import translate_disk_errors
from ..workspace.answering import Answering, perform, snapshot

console = Console(stderr=True, highlight=False, soft_wrap=True)
_POLL_SECONDS = 0.2


@contextmanager
def owned_store(workspace: Path | None, command: str) -> Iterator[Store]:
    """The workspace's store, open for one command, with whatever workers finished meanwhile taken in."""
    with Store.open(settings.workspace_path(workspace), f"python -m core {command}") as store:
        for notice in notices_of(store):
            console.print(notice, markup=False)
        ingest_finished_jobs(store)
        with Answering(store):
            yield store


@contextmanager
def readable_store(workspace: Path | None, command: str) -> Iterator[Store]:
    """The workspace's store for a command that only reads it: a snapshot of it while another process owns it."""
    path = settings.workspace_path(workspace)
    with ExitStack() as stack:
        yield own_or_ask(
            lambda: stack.enter_context(owned_store(workspace, command)),
            lambda refusal: stack.enter_context(snapshot(path, f"python -m core {command}", refusal)),
        )


def done_by_owner(workspace: Path | None, command: str, fields: Fields) -> Fields:
    """What the command of that name gives, done here or by the process that owns the workspace."""
    path = settings.workspace_path(workspace)

    def own() -> Fields:
        with owned_store(workspace, command) as store:
            return perform(store, command, fields, path)

    def ask(refusal: WorkspaceLocked) -> Fields:
        with asked(path, command, fields, refusal) as answer:
            return answer.fields

    return own_or_ask(own, ask)


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
    """The command's one result on stdout: a JSON object, or a sentence for people."""
    text = json.dumps(fields, ensure_ascii=False, default=str) if as_json else sentence
    sys.stdout.write(text + "\n")


def wait_for(store: Store, job: Job) -> dict[str, Any]:
    """Show a job's progress until it ends, taking in what it finishes; returns its outcome.

    Ctrl-C cancels the job after its current batch. Raises `JobFailed` or `JobCancelled` with its sentence.
    """
    with _progress_bar() as show:
        try:
            _poll(store, job, show)
        except KeyboardInterrupt:
            console.print("Stopping after the current batch; press Ctrl-C again to leave the worker running.")
            job.cancel()
            _poll(store, job, show)
    ingest_finished_job(store, job)
    return check_outcome(job)


def _poll(store: Store, job: Job, show: Callable[[Job], None]) -> None:
    while job.state == "running":
        ingest_finished_job(store, job)
        show(job)
        time.sleep(_POLL_SECONDS)


@contextmanager
def _progress_bar() -> Iterator[Callable[[Job], None]]:
    """A function that shows a job's progress: a bar on a terminal, a line per phase elsewhere."""
    if not console.is_terminal:
        last = [""]

        def print_phase(job: Job) -> None:
            phase = job.progress.phase
            if phase != last[0]:
                console.print(phase)
                last[0] = phase

        yield print_phase
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task: TaskID = bar.add_task("", total=1.0)
        yield lambda job: bar.update(task, description=job.progress.sentence(), completed=job.progress.share)
