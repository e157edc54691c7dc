"""Commands on jobs: which there are, their order in the queue, and the run of a job that has not finished."""

from typing import Annotated

import typer

from ..workspace.status import job_lines
from .options import AsJson, Workspace
from .terminal import done_by_owner, print_result, report_user_errors

jobs_app = typer.Typer(help="Show the queue and change it; open what a job has scored.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, as `jobs list` shows it.")]


@jobs_app.command("list")
def list_jobs(workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show every job with its state, and the place of those that wait."""
    with report_user_errors():
        fields = done_by_owner(workspace, "jobs", {})
        print_result(fields, as_json, "\n".join(job_lines(fields["jobs"])) or "There are no jobs.")


@jobs_app.command("move")
def move(
    job: JobId,
    first: Annotated[bool, typer.Option(help="Before all others, not only one place up.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Move a waiting job up in the queue."""
    with report_user_errors():
        fields = done_by_owner(workspace, "move job", {"job": job, "first": first})
        print_result(fields, as_json, "\n".join(["The queue, next job first:", *fields["queue"]]))


@jobs_app.command("cancel")
def cancel(job: JobId, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Cancel a waiting job, or a running one after its current batch. Computed losses are kept."""
    with report_user_errors():
        fields = done_by_owner(workspace, "cancel job", {"job": job})
        is_over = fields["state"] == "cancelled"
        sentence = "cancelled" if is_over else "stops after the current batch"
        print_result(fields, as_json, f"Job {job}: {sentence}.")


@jobs_app.command("open")
def open_job(job: JobId, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Open the run of a scoring job that was cancelled, failed or still runs, over the rows scored so far."""
    with report_user_errors():
        fields = done_by_owner(workspace, "open job", {"job": job})
        sentence = f"Run {fields['run']!r}: {fields['scored']:,} of {fields['rows']:,} rows scored."
        print_result(fields, as_json, sentence)
