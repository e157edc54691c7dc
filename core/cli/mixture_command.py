"""The command that suggests weights of domains from a reference's training."""

from typing import Annotated

import typer

from ..data import settings
from ..data.listing import listed
from ..evidence.learning_left import DomainLearning
from ..workspace.mixture_advice import reference_learning, run_learning
from .options import AsJson, Workspace
from .terminal import print_result, readable_store, report_user_errors


def mixture(
    run: Annotated[str | None, typer.Option(help="Run whose reference's training is read.")] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Reference trained here, instead of a run's.")
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Show what is left to learn in each domain, by the training's loss curves, and the weights that ADO would give."""
    if (run is None) == (reference is None):
        raise typer.BadParameter("Give either --run or --reference.")
    with report_user_errors():
        if reference is not None:
            found = reference_learning(settings.workspace_path(workspace), reference)
        else:
            with readable_store(workspace, "mixture") as store:
                found = run_learning(store, str(run))
        print_result({"domains": [each.to_fields() for each in found]}, as_json, learning_table(found))


def learning_table(found: list[DomainLearning]) -> str:
    """One line a domain, and the weights as options of `select`."""
    width = max(len("domain"), *(len(each.domain) for each in found))
    lines = [
        f"{'domain':{width}}  steps  tokens   loss   fell  floor  exponent  learning left (odd, even steps)  weight"
    ]
    for each in found:
        low, high = each.left_range
        left = f"{each.learning_left:.3f} ({low:.3f} to {high:.3f})"
        lines.append(
            f"{each.domain:{width}}  {each.steps:5,}  {each.share:6.1%}  {each.loss:5.3f}  {each.fallen:5.3f}  "
            f"{each.floor:5.3f}  {each.exponent:8.3f}  {left:>31}  {each.weight:5.1f}%"
        )
    options = " ".join(f"--weight {each.domain}={each.weight:.4g}" for each in found)
    if guesses := listed(each.domain for each in found if each.is_guess):
        lines.append(f"The curves show too little for a floor, so what is left is a guess: {guesses}.")
    return "\n".join([*lines, "Losses in nats per token. A suggestion, not tested by a trial:", options])
