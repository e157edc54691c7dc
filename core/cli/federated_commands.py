"""Commands that join the losses of several sites without their texts."""

from pathlib import Path
from typing import Annotated

import typer

from ..data import settings
from ..exporting.loss_bundles import read_key
from ..system.paths import named_path
from ..workspace.joined_losses import MERGED_SCORES, merged_ranking, own_rows, write_loss_bundle
from ..workspace.table_files import check_table_file, write_table
from .options import AsJson, Workspace
from .terminal import print_result, readable_store, report_user_errors

bundle_app = typer.Typer(help="Write a signed file without text, for a ranking with other sites.", no_args_is_help=True)
Key = Annotated[Path, typer.Option("--key", metavar="FILE", help="File with the secret that all sites share.")]


@bundle_app.command("losses")
def bundle_losses(
    run: Annotated[str, typer.Option(help="Run to write the losses of.")],
    key: Key,
    output: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's losses under keyed names of rows and domains, signed: no text, no name of a domain or file."""
    with report_user_errors(), readable_store(workspace, "bundle losses") as store:
        fields = write_loss_bundle(store, run, read_key(named_path(str(key))), named_path(str(output)))
        sentence = f"{fields['rows']:,} rows written to {output}; {fields['rows_without_loss']:,} have no loss."
        print_result(fields, as_json, sentence)


def merge(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Loss bundles, one or more per site.")],
    key: Key,
    output: Annotated[Path, typer.Option(metavar="FILE", help="A .csv, .parquet or .jsonl file.")],
    score: Annotated[str, typer.Option(help=f"Score to rank by: {', '.join(MERGED_SCORES)}.")] = MERGED_SCORES[0],
    once: Annotated[
        bool, typer.Option(help="Rank a row of several bundles once, as the first of them has it.")
    ] = False,
    run: Annotated[
        str | None, typer.Option(help="Write only the rows of this run, with example_id, for `scores import`.")
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Join the loss bundles of several sites into one ranking."""
    if score not in MERGED_SCORES:
        raise typer.BadParameter(f"Unknown --score {score!r}. Must be one of: {', '.join(MERGED_SCORES)}.")
    with report_user_errors():
        path = named_path(str(output))
        check_table_file(path, settings.workspace_path(workspace))
        secret = read_key(named_path(str(key)))
        table = merged_ranking([named_path(str(bundle)) for bundle in bundles], secret, score, once)
        count = table.num_rows
        if run is not None:
            with readable_store(workspace, "merge") as store:
                table = own_rows(store, run, secret, table)
        write_table(path, table.to_batches())
        fields = {"bundles": len(bundles), "rows": count, "written": table.num_rows, "path": str(output)}
        sentence = f"{count:,} rows of {len(bundles)} bundles ranked by {score}; {table.num_rows:,} written to {output}"
        print_result(fields, as_json, sentence)
