"""Options that several commands have."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data import settings
from ..data.placement import PLACEMENTS
from ..encoding.template_choice import CHOICES
from ..encoding.templates import REPLIES
from ..jobs.executors import EXECUTORS
from ..models.devices import DEVICES

_LARGEST = 10**15


def number(help: str, **limits: Any) -> Any:
    """An option that takes a number which can mean something: finite, and at most 10^15. `limits`: as of typer's."""
    return typer.Option(callback=_possible, help=help, **limits)


def _possible(value: Any) -> Any:
    for number in value if isinstance(value, list | tuple) else (value,):
        if number is not None and not abs(number) <= _LARGEST:
            raise typer.BadParameter(f"{number} is not a possible value. Give a number of at most 10^15.")
    return value


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
    int | None,
    number(min=2, help="Maximum length; longer examples are truncated [LOBASS_MAX_LENGTH]."),
]
SpreadsheetGuard = Annotated[bool, typer.Option(help="CSV: prefix cells that look like formulas with '; reversible.")]
Device = Annotated[str, typer.Option(help=f"Device: {', '.join(DEVICES)}.")]


def _chooses(name: str, among: Collection[str] | None = None) -> Callable[[typer.Context, str | None], str | None]:
    """What an option does that gives a setting its value for this command; `among`: the values there are."""

    def choose(context: typer.Context, value: str | None) -> str | None:
        if value is not None and among is not None and value not in among:
            raise typer.BadParameter(f"{value!r} is not one of: {', '.join(among)}.")
        context.with_resource(settings.chosen({name: value}))
        return value

    return choose


RunsOn = Annotated[
    str | None,
    typer.Option(
        "--executor",
        callback=_chooses("executor", EXECUTORS),
        help=f"What runs it: {', '.join(EXECUTORS)} [LOBASS_EXECUTOR].",
    ),
]
"""It takes effect when it is read; commands need not look at it."""
Placed = Annotated[
    str | None,
    typer.Option(
        "--placement",
        callback=_chooses("placement", PLACEMENTS),
        help="Each model whole on one device, or its layers spread over all memory: one or spread [LOBASS_PLACEMENT].",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        callback=_chooses("ray_address"),
        help="Ray cluster of the executor ray [LOBASS_RAY_ADDRESS].",
    ),
]
