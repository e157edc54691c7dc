"""The command that says how often a reference prefers the chosen answer of preference pairs."""

from typing import Annotated

import typer

from ..data.errors import SelectionInvalid
from ..exploring.pair_accuracy import pair_accuracies
from .options import AsJson, Workspace
from .terminal import print_result, readable_store, report_user_errors


def pairs(
    run: Annotated[str, typer.Option(help="Run over a dataset of preference pairs.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Show in how many preference pairs of each domain the margin is above 0, with an interval."""
    with report_user_errors(), readable_store(workspace, "pairs") as store:
        table = store.run(run)["table"]
        found = pair_accuracies(store, table)
        if not found:
            raise SelectionInvalid(f"The dataset of the run {run!r} has no preference pairs. Import a file of pairs.")
        ((single,),) = store.rows(f"SELECT count(*) FROM {table} WHERE pair IS NULL")
        lines = [each.sentence() for each in found]
        if single:
            lines.append(f"Rows in no pair: {single:,}.")
        fields = {"domains": [each.to_fields() for each in found], "rows_without_pair": single}
        print_result(fields, as_json, "\n".join(lines))
