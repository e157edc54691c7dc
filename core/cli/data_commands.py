"""Commands on datasets: import files, show the tokens, find near duplicates."""

from pathlib import Path
from typing import Annotated

import typer

from ..data import settings
from ..data.errors import SourceUnreadable
from ..importing import DomainRule, SourceOptions
from ..importing.formats import FORMATS
from ..importing.hub import hub_name
from ..importing.sources import takes_split
from ..near_duplicates.jobs import DEFAULT_COSINE, DEFAULT_THRESHOLD, LOWEST_THRESHOLD
from ..scoring.planning import ScoreRequest
from ..workspace.embedding import group_semantic_duplicates
from ..workspace.import_batch import HubChoice, import_batch, named_columns
from ..workspace.inspecting import write_encoded
from ..workspace.running import group_near_duplicates
from .options import AsJson, MaxLength, RayAddress, Replies, RunsOn, Template, TemplateDate, Workspace, number
from .terminal import owned_store, print_result, readable_store, report_user_errors, say, wait_for


def import_command(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files, zip archives, folders of save_to_disk, or Hub datasets (owner/name, hf://datasets/...).",
        ),
    ],
    dataset: Annotated[str, typer.Option(help="Name of the dataset. Importing again adds rows to it.")],
    domain: Annotated[str | None, typer.Option(help="One domain for all rows [the file's name].")] = None,
    domain_field: Annotated[str | None, typer.Option(help="Field of the record that holds its domain.")] = None,
    source_format: Annotated[
        str,
        typer.Option("--format", help=f"How records are read: auto, {', '.join(item.name for item in FORMATS)}."),
    ] = "auto",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN", help="Column to read a field from; empty ignores the field. Can be repeated."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split to read, if there are several [train].")] = None,
    config: Annotated[str | None, typer.Option(help="Config of a Hub dataset, if there are several.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub dataset [main].")] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Read files into a dataset; every record becomes a row, or is skipped with a counted reason."""
    if domain and domain_field:
        raise typer.BadParameter("--domain and --domain-field exclude each other.")
    with report_user_errors():
        if (config or revision) and not any(hub_name(file) for file in files):
            raise typer.BadParameter("--config and --revision are for a dataset on the Hub, and none is named.")
        if split and not any(takes_split(file) for file in files):
            raise typer.BadParameter("--split is for a dataset that has splits (on the Hub, say), and none is named.")
        try:
            columns = named_columns(column or [])
        except SourceUnreadable as error:
            raise typer.BadParameter(str(error)) from error
    with report_user_errors(), owned_store(workspace, "import") as store:
        options = SourceOptions(source_format, DomainRule(domain, domain_field), columns)
        batch = import_batch(store, dataset, files, options, HubChoice(revision, split, config))
        for line in batch.lines():
            say(line)
        batch.raise_if_alone()
        print_result(batch.to_fields(), as_json, batch.sentence())
        if batch.failed:
            raise typer.Exit(1)


def encode(
    dataset: Annotated[str, typer.Option(help="Dataset to read.")],
    model: Annotated[str, typer.Option(metavar="MODEL", help="Model whose tokenizer and chat template to use.")],
    output: Annotated[Path, typer.Option(metavar="FILE.jsonl", help="Where to write.")],
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    max_length: MaxLength = None,
    rows: Annotated[int | None, number(min=1, help="Only the first rows.")] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write what is scored: each row's token ids, which of them are scored, and the text."""
    with report_user_errors(), readable_store(workspace, "encode") as store:
        request = ScoreRequest(
            dataset, model, "", None, template, max_length, replies=replies, template_date=template_date
        )
        count = write_encoded(store, request, rows, output, settings.workspace_path(workspace))
        print_result({"rows": count, "path": str(output)}, as_json, f"{count:,} rows written to {output}")


def near_duplicates_command(
    dataset: Annotated[str, typer.Option(help="Dataset whose examples are compared with each other.")],
    threshold: Annotated[
        float | None,
        number(
            min=LOWEST_THRESHOLD,
            max=1.0,
            help=f"Similarity threshold: share of text in common [{DEFAULT_THRESHOLD}], or cosine [{DEFAULT_COSINE}].",
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="Compare this run's embeddings, not texts (`embed --run` first).")
    ] = None,
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Group nearly identical examples, so that a selection can keep the best of each group."""
    with report_user_errors(), owned_store(workspace, "near-duplicates") as store:
        if run is None:
            fields = group_near_duplicates(store, dataset, threshold or DEFAULT_THRESHOLD, wait_for)
        else:
            fields = group_semantic_duplicates(store, dataset, run, threshold or DEFAULT_COSINE, wait_for)
        sentence = (
            f"{fields['grouped_examples']:,} of {fields['examples']:,} different examples are in "
            f"{fields['groups']:,} groups of near duplicates; the largest has {fields['largest_group']:,}."
        )
        print_result(fields, as_json, sentence)
