"""The command that shows the evidence about a run."""

from typing import Annotated

import typer

from ..data import settings
from ..evidence.findings import evidence_of
from .options import AsJson, Workspace
from .terminal import print_result, readable_store, report_user_errors


def evidence(
    run: Annotated[str, typer.Option(help="Run to examine.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Show whether a run's scores are memory, length or noise, and whether selecting by them beats random."""
    with report_user_errors(), readable_store(workspace, "evidence") as store:
        found = evidence_of(store, run, settings.workspace_path(workspace))
        print_result(found.to_fields(), as_json, "\n".join(found.sentences()))
