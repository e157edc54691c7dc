"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from ..encoding.template_choice import CHOICES
from ..encoding.templates import REPLIES
from ..models.devices import DEVICES

Workspace = Annotated[
    Path | None, typer.Option(help="Folder of the store, jobs, references and exports [LOBASS_WORKSPACE, workspace/].")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")]
Template = Annotated[str, typer.Option(help=f"Chat template: {', '.join(CHOICES)}, or a file (.jinja).")]
Replies = Annotated[str, typer.Option(help=f"Replies to score: {' or '.join(REPLIES)}.")]
TemplateDate = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="Date for chat templates that use one [the workspace's].")
]
MaxLength = Annotated[
    int | None, typer.Option(min=2, help="Maximum length; longer examples are truncated [LOBASS_MAX_LENGTH].")
]
SpreadsheetGuard = Annotated[bool, typer.Option(help="CSV: prefix cells that look like formulas with '; reversible.")]
Device = Annotated[str, typer.Option(help=f"Device: {', '.join(DEVICES)}.")]
