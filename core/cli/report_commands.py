"""The command that writes the report of a run; the dashboard's package draws it, in a process of its own."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..data import settings
from ..data.errors import ExportFailed
from ..exporting.exporter import check_folder
from ..system.paths import file_stem, named_path
from ..system.program import dashboard_command
from ..system.workspace_files import check_output
from .options import AsJson, Workspace
from .terminal import report_user_errors

SUFFIXES = (".html", ".htm")


def report(
    run: Annotated[str, typer.Option(help="Run to report.")],
    selection: Annotated[str | None, typer.Option(help="Saved selection of the run to report too.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (.html) [RUN.html in this folder].")
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file with what was scored, the evidence, the trials and a selection; it opens offline."""
    with report_user_errors():
        settings.check_settings()
        path = named_path(str(output or f"{file_stem(run, 'report')}.html"))
        if path.suffix.lower() not in SUFFIXES:
            raise ExportFailed(f"{path.name!r} does not end in .html. Choose a name such as {path.stem}.html.")
        if path.is_dir():
            raise ExportFailed(f"{path} is a folder. Add a file name, such as {path / 'report.html'}.")
        check_output(path, settings.workspace_path(workspace))
        check_folder(path.parent)
    fields = {
        "run": run,
        "selection": selection,
        "output": str(path),
        "workspace": str(workspace) if workspace else None,
        "json": as_json,
    }
    # In the place of this process, so that signals and exit codes are that process's.
    os.execv(sys.executable, dashboard_command("ui.report", json.dumps(fields)))
