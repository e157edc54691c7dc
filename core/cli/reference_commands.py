"""Commands about references that were trained before: folds to train by elsewhere, names for them, and merging."""

import shlex
from typing import Annotated

import typer

from ..data.training_methods import LARGEST_SEED
from ..data.version import COMMAND
from ..near_duplicates.jobs import DEFAULT_THRESHOLD
from ..workspace.merged_references import METHODS, merge_references
from ..workspace.trained_elsewhere import add_reference, write_dataset_folds
from .options import AsJson, Workspace, number
from .terminal import owned_store, print_result, report_user_errors, say, wait_for


def folds_command(
    dataset: Annotated[str, typer.Option(help="Dataset whose examples are divided.")],
    output: Annotated[str, typer.Option(metavar="FILE", help="Where to write: .parquet or .csv.")],
    folds: Annotated[int, number(help="Number of folds.")] = 2,
    held_out: Annotated[float, number(help="Share of rows that no model is trained on [0 to 0.5].")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the division.")] = 0,
    threshold: Annotated[float, number(help="Similarity threshold: near-duplicates share a fold.")] = DEFAULT_THRESHOLD,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write which fold each example is in, for models of a cross-fitted reference that are trained elsewhere."""
    with report_user_errors(), owned_store(workspace, "folds") as store:
        fields = write_dataset_folds(store, dataset, folds, held_out, seed, threshold, output, wait_for)
        sizes = ", ".join(f"{size:,}" for size in fields["folds"].values())
        sentence = (
            f"{fields['examples']:,} examples: {sizes} by fold, {fields['held_out']:,} held out. Written to "
            f"{fields['path']}"
        )
        print_result(fields, as_json, sentence)


def add_reference_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the reference, for score --reference.")],
    model: Annotated[
        list[str],
        typer.Option(
            metavar="MODEL",
            help="A model, in the order of the folds: the first never saw fold 0. Repeat per fold, then per seed.",
        ),
    ],
    folds_file: Annotated[str, typer.Option(help="File of folds that the models were trained by.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Name models that were trained elsewhere as one cross-fitted reference."""
    with report_user_errors(), owned_store(workspace, "add-reference") as store:
        fields = add_reference(store, name, model, folds_file, base)
        sentence = (
            f"Reference {name!r}: {len(fields['models'])} models, {fields['folds']} folds x {fields['seeds']} seeds. "
            f"Score with it: {COMMAND} score --reference {shlex.quote(name)}"
        )
        print_result(fields, as_json, sentence)


def merge_references_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the merged reference, for score --reference.")],
    reference: Annotated[
        list[str],
        typer.Option(metavar="MODEL", help="A reference to merge: adapters or full models of one base. Repeat."),
    ],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    weight: Annotated[
        list[float] | None, number(help="Weight of each reference, in their order; any scale [equal]. Repeat.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(help=f"{' or '.join(METHODS)}: their mean, or each single weight drawn from one (full models)."),
    ] = METHODS[0],
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the draw.")] = 0,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Merge several references of one base into one, which scores like any other."""
    with report_user_errors(), owned_store(workspace, "merge-references") as store:
        fields = merge_references(store, name, reference, base, weight or (), method, seed)
        for notice in fields["notices"]:
            say(notice)
        parts = ", ".join(f"{part['name']} {part['share']:.3g}" for part in fields["references"])
        sentence = f"Reference {name!r}: {parts}. Score with it: {COMMAND} score --reference {shlex.quote(name)}"
        print_result(fields, as_json, sentence)
