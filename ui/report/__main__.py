"""Writes a report for the command `report`, which starts this program: python -m ui.report FIELDS."""

import json
import sys
from pathlib import Path
from typing import Any

import typer

from core.cli.command_group import prepare_streams
from core.cli.terminal import print_result, readable_store, report_user_errors
from core.data import settings
from core.data.errors import ExportFailed
from core.system.durable_file import DurableFile
from core.workspace.run_report import run_report
from ui.report.run_report import report_html


def main(fields: dict[str, Any]) -> None:
    """`fields`: run, selection (or null), output, workspace (or null), json."""
    workspace = Path(fields["workspace"]) if fields["workspace"] else None
    output = Path(fields["output"])
    with report_user_errors(), readable_store(workspace, "report") as store:
        found = run_report(store, fields["run"], fields["selection"], settings.workspace_path(workspace))
        size = write_report(output, report_html(found))
        result = {"run": found.run, "selection": fields["selection"], "path": str(output), "bytes": size}
        print_result(result, fields["json"], f"Report of {found.run!r} written to {output} ({size:,} bytes)")


def write_report(path: Path, html: str) -> int:
    """Write the file completely or not at all; returns its size [bytes]. Raises `ExportFailed`."""
    try:
        with DurableFile(path) as file:
            size = file.write(html.encode())
            file.finish()
            file.replace()
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written ({error.strerror}). Nothing was left behind.") from error
    return size


if __name__ == "__main__":
    prepare_streams()
    try:
        main(json.loads(sys.argv[1]))
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
