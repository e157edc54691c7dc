"""Commands on scores that were computed elsewhere: import, list, remove."""

from pathlib import Path
from typing import Annotated

import typer

from ..data.training_methods import LARGEST_SEED
from ..importing.row_keys import JOINS
from ..importing.source_options import AUTO, DomainRule, SourceOptions
from ..selection.recipe import MOST_CLUSTERS
from ..store import imported_scores
from ..store.embedding_files import MOST_DIMENSIONS
from ..system.paths import named_path
from ..workspace import less_scores, s2l_scores
from ..workspace.import_batch import named_columns
from ..workspace.less_scores import LessRequest, score_less
from ..workspace.like_these import LikeRequest, score_like
from ..workspace.s2l_scores import DEFAULT_CLUSTERS, S2lRequest, score_s2l
from ..workspace.score_imports import import_scores, remove_score, score_sentence
from .embedding_commands import Dimensions, Seed
from .options import AsJson, Device, Workspace, number
from .terminal import owned_store, print_result, readable_store, report_user_errors, say, wait_for

scores_app = typer.Typer(help="Import scores that were computed elsewhere.", no_args_is_help=True)
Run = Annotated[str, typer.Option(help="A run of the dataset that the scores are for.")]
_KEYS = "; ".join(f"{join}: {' or '.join(names)}" for join, names in JOINS.items())


@scores_app.command("import")
def import_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV, JSONL, JSON or Parquet file, one record per row.")
    ],
    run: Run,
    by: Annotated[str, typer.Option(help=f"What rows are joined by: {', '.join(JOINS)}.")],
    column: Annotated[
        list[str] | None, typer.Option(help="Column to import [every column of numbers]. Can be repeated.")
    ] = None,
    key: Annotated[str | None, typer.Option(help=f"Column to join by [{_KEYS}].")] = None,
    replace: Annotated[bool, typer.Option(help="Replace scores of the same name.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Import columns of a file as scores, named imported_COLUMN; they rank, filter and are exported like ours."""
    if by not in JOINS:
        raise typer.BadParameter(f"Unknown --by {by!r}. Must be one of: {', '.join(JOINS)}.")
    with report_user_errors(), owned_store(workspace, "scores import") as store:
        dataset = str(store.run(run)["dataset"])
        found = import_scores(store, dataset, named_path(str(file)), by, column or [], key, replace)
        fields = {"dataset": dataset, "scores": [score.to_fields() for score in found]}
        print_result(fields, as_json, "\n".join(map(score_sentence, found)))


@scores_app.command("like")
def like_command(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Rows of the kind wanted, in any format that import reads.")
    ],
    run: Annotated[str, typer.Option(help="Run whose rows are compared; its dataset must be embedded.")],
    name: Annotated[str | None, typer.Option(help="Name of the scores, like_NAME [the file's].")] = None,
    format: Annotated[str, typer.Option(help="Format of the rows.")] = AUTO,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="Column that holds a field. Can be repeated.")
    ] = None,
    dimensions: Dimensions = MOST_DIMENSIONS,
    seed: Seed = 0,
    replace: Annotated[bool, typer.Option(help="Replace scores of the same name.")] = False,
    device: Device = "auto",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Score rows by how like those of a file they are, by embeddings; rows that nearly repeat one are flagged."""
    with report_user_errors(), owned_store(workspace, "scores like") as store:
        options = SourceOptions(format, columns=named_columns(column or []))
        request = LikeRequest(run, file, name, options, replace, device, dimensions, seed)
        found, fields = score_like(store, request, wait_for)
        for notice in fields["notices"]:
            say(notice)
        copies = f"{fields['copies']:,} rows nearly repeat one of {fields['targets']:,} target rows."
        fields = {"scores": [score.to_fields() for score in found], **fields}
        print_result(fields, as_json, "\n".join([*map(score_sentence, found), copies]))


@scores_app.command("less")
def less_command(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Rows of the kind wanted, in any format that import reads.")
    ],
    run: Annotated[str, typer.Option(help="Run whose rows are scored, as it encodes them.")],
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Reference trained with --keep-checkpoints [the run's].")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the score, less_NAME [the file's].")] = None,
    format: Annotated[str, typer.Option(help="Format of the rows.")] = AUTO,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="Column that holds a field. Can be repeated.")
    ] = None,
    domain_field: Annotated[
        str | None, typer.Option(help="Field with the subtask of a row; a row's value is the best of its subtasks.")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Replace a score of the same name.")] = False,
    device: Device = "auto",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Score rows by how their gradients point like those of a file's rows (LESS): a backward pass a row and epoch."""
    with report_user_errors(), owned_store(workspace, "scores less") as store:
        options = SourceOptions(format, DomainRule(field=domain_field), columns=named_columns(column or []))
        request = LessRequest(run, file, name, options, reference, replace, device)
        found, fields = score_less(store, request, wait_for, say)
        for notice in fields["notices"]:
            say(notice)
        print_result({"score": found.to_fields(), **fields}, as_json, f"{score_sentence(found)}\n{less_scores.MEANING}")


@scores_app.command("s2l")
def s2l_command(
    run: Annotated[str, typer.Option(help="Run whose rows are ordered, as it encodes them.")],
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Reference trained with --keep-checkpoints [the run's].")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the score, s2l_NAME [the reference's].")] = None,
    clusters: Annotated[
        int, number(min=2, max=MOST_CLUSTERS, help="Clusters of rows with alike loss trajectories.")
    ] = DEFAULT_CLUSTERS,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the clusters and of the order in a cluster.")
    ] = 0,
    replace: Annotated[bool, typer.Option(help="Replace a score of the same name.")] = False,
    device: Device = "auto",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Order rows by turns of clusters of their loss trajectories (S2L): a forward pass for each kept checkpoint."""
    with report_user_errors(), owned_store(workspace, "scores s2l") as store:
        request = S2lRequest(run, reference, name, clusters, seed, replace, device)
        found, fields = score_s2l(store, request, wait_for, say)
        for notice in fields["notices"]:
            say(notice)
        print_result({"score": found.to_fields(), **fields}, as_json, f"{score_sentence(found)}\n{s2l_scores.MEANING}")


@scores_app.command("list")
def list_command(run: Run, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List the imported scores of a run's dataset, with their origin."""
    with report_user_errors(), readable_store(workspace, "scores list") as store:
        found = imported_scores(store, str(store.run(run)["dataset"]))
        sentence = "\n".join(map(score_sentence, found)) or "No scores were imported for this run's dataset."
        print_result({"scores": [score.to_fields() for score in found]}, as_json, sentence)


@scores_app.command("remove")
def remove_command(
    name: Annotated[str, typer.Argument(help="Name of the imported score.")],
    run: Run,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Remove an imported score from a run's dataset; selections that use it say that it is missing."""
    with report_user_errors(), owned_store(workspace, "scores remove") as store:
        dataset = str(store.run(run)["dataset"])
        remove_score(store, dataset, name)
        print_result({"dataset": dataset, "removed": name}, as_json, f"Removed {name} from the dataset {dataset!r}.")
