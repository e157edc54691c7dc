"""The commands that embed rows, and that map what was embedded."""

from pathlib import Path
from typing import Annotated

import typer

from ..data.training_methods import LARGEST_SEED
from ..importing.row_keys import JOINS, ROW
from ..models.devices import DTYPES
from ..models.quantizing import QUANTIZATIONS
from ..scoring.embeddings.embedding_jobs import EmbedRequest, plan_embedding
from ..store.embedding_files import MOST_DIMENSIONS
from ..system.paths import named_path
from ..workspace.embedding import embed_dataset, embed_run, embed_sentence
from ..workspace.mapping import map_run
from ..workspace.vector_imports import COLUMN, VectorRequest, import_vectors, vectors_sentence
from .options import (
    AsJson,
    Device,
    MaxLength,
    Placed,
    RayAddress,
    Replies,
    RunsOn,
    Template,
    TemplateDate,
    Workspace,
    number,
)
from .terminal import owned_store, print_result, report_user_errors, wait_for

Dimensions = Annotated[
    int, number(min=1, max=MOST_DIMENSIONS, help="Most dimensions; wider vectors are projected at random.")
]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of that projection.")]


def embed(
    run: Annotated[str | None, typer.Option(help="Run whose dataset is embedded, with its base.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Or: dataset to embed.")] = None,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Its base model: Hub id or local folder.")] = None,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Or: vectors for --run, as Parquet, JSONL or .npy.")
    ] = None,
    sentence_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Or: sentence-transformers model for --run: Hub id or local folder."),
    ] = None,
    column: Annotated[str, typer.Option(help="Column of FILE with the vectors.")] = COLUMN,
    by: Annotated[str, typer.Option(help=f"What rows of FILE are joined by: {', '.join(JOINS)}.")] = ROW,
    key: Annotated[str | None, typer.Option(help="Column of FILE to join by [as of scores import].")] = None,
    dimensions: Dimensions = MOST_DIMENSIONS,
    seed: Seed = 0,
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help=f"Precision: {', '.join(DTYPES)}.")] = "auto",
    quantization: Annotated[
        str | None,
        typer.Option(help=f"Quantize the weights as they are loaded: {', '.join(QUANTIZATIONS)}."),
    ] = None,
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    placement: Placed = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Compute the embeddings that are missing: one vector a row, from the base's last hidden states (RDS+) or by a
    sentence model, or read them from a file. A run uses those that came last; its base's, with the usual dimensions and
    seed."""
    if (run is None) == (dataset is None) or (run is None and base is None) or (run and base):
        raise typer.BadParameter("Give either --run, or --dataset and --base.")
    if file is not None and run is None:
        raise typer.BadParameter("Vectors of a file are those of a run. Give --run.")
    if sentence_model is not None and (run is None or file is not None):
        raise typer.BadParameter("A sentence model embeds the rows of a run. Give --run, without --from.")
    if by not in JOINS:
        raise typer.BadParameter(f"Unknown --by {by!r}. Must be one of: {', '.join(JOINS)}.")
    with report_user_errors(), owned_store(workspace, "embed") as store:
        if file is not None:
            assert run is not None
            request = VectorRequest(run, named_path(str(file)), column, by, key, dimensions, seed)
            imported = import_vectors(store, request)
            print_result(imported, as_json, vectors_sentence(imported))
            return
        if run is not None:
            report = embed_run(store, run, wait_for, device, dimensions, seed, sentence_model)
        else:
            assert dataset is not None
            assert base is not None
            plan = plan_embedding(
                store,
                EmbedRequest(
                    dataset, base, template, max_length, device, dtype, replies, template_date, quantization,
                    dimensions, seed,
                ),
            )  # fmt: skip
            report = embed_dataset(store, plan, wait_for)
        print_result(report, as_json, embed_sentence(report))


def map_command(
    run: Annotated[str, typer.Option(help="Run whose rows are mapped, by their embeddings.")],
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the map; the same seed gives the same map.")
    ] = 0,
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Lay out a run's rows in two dimensions, so that rows with similar embeddings are near each other (PaCMAP)."""
    with report_user_errors(), owned_store(workspace, "map") as store:
        report = map_run(store, run, seed, wait_for)
        sentence = (
            f"Map of {report['places']:,} of {report['examples']:,} different examples of {report['dataset']!r} by "
            f"{report['library']}, seed {seed}. See it on the Curate page under Map."
        )
        print_result(report, as_json, sentence)
