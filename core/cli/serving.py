"""The command that serves the dashboard."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..data import settings
from ..system.program import dashboard_command
from .terminal import report_user_errors

# Streamlit's own options pass through, --help among them would show the server's hundred.
PASSES_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}


def serve(
    context: typer.Context,
    open_server: Annotated[
        bool, typer.Option("--open", help="Serve even if other machines can reach it without a login.")
    ] = False,
    workspace: Annotated[Path | None, typer.Option(help="Workspace folder [LOBASS_WORKSPACE, workspace/].")] = None,
) -> None:
    """Serve the dashboard on http://127.0.0.1:8501. Further options are Streamlit's, such as --server.port 8600."""
    with report_user_errors():
        settings.check_settings()
    if workspace:
        os.environ["LOBASS_WORKSPACE"] = str(settings.workspace_path(workspace))
    options = ["--open", *context.args] if open_server else context.args
    # In the place of this process, so that signals reach the server.
    os.execv(sys.executable, dashboard_command("ui.serve", *options))
