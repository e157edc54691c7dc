"""Commands on the workspace as a whole: what is in it, whether it is sound, backups."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..data import settings
from ..data.version import COMMAND, __version__
from ..store import Store
from ..workspace.maintenance.backups import LEFT_OUT, back_up_workspace, restore
from ..workspace.maintenance.checking import CHECKS, check_workspace
from ..workspace.maintenance.kept_shards import notices_of
from ..workspace.status import status_text
from .options import AsJson, Workspace
from .terminal import console, done_by_owner, print_result, report_user_errors


def status(workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show datasets, models, runs, jobs and selections."""
    with report_user_errors():
        fields = done_by_owner(workspace, "status", {})
        print_result(fields, as_json, status_text(fields))


def check(
    accept_loss: Annotated[
        bool, typer.Option(help="Continue with a store that has lost changes; retained shards are ingested again.")
    ] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Verify the workspace: print a line for each problem; exit code 1 if there is any."""
    with (
        report_user_errors(),
        Store.open(settings.workspace_path(workspace), f"{COMMAND} check", accept_loss=accept_loss) as store,
    ):
        notices = notices_of(store)
        findings = check_workspace(store, console.print)
        fields = {
            "workspace": str(store.workspace),
            "checks": list(CHECKS),
            "notices": notices,
            "findings": [{"check": finding.check, "sentence": finding.sentence} for finding in findings],
        }
        lines = [*notices, *(f"{finding.check}: {finding.sentence}" for finding in findings)]
        print_result(fields, as_json, "\n".join([*lines, f"{len(findings):,} findings in {store.workspace}"]))
    if findings:
        raise typer.Exit(1)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; an existing file is not overwritten.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Copy the store into one file, even while it is in use."""
    with report_user_errors():
        report = back_up_workspace(settings.workspace_path(workspace), file)
        sentence = f"{report.bytes:,} bytes written to {report.path} (sha256 {report.sha256}). Not in it: {LEFT_OUT}."
        print_result(asdict(report), as_json, sentence)


def restore_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File that `backup` wrote.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup; the old store is kept beside it under a dated name."""
    with report_user_errors():
        aside = restore(settings.workspace_path(workspace), file)
        sentence = (
            f"The store is that of {file}. {f'The one before is {aside}.' if aside else 'There was none before.'}"
        )
        print_result({"restored": str(file), "replaced": str(aside) if aside else None}, as_json, sentence)


def version() -> None:
    """Print the version."""
    typer.echo(__version__)
