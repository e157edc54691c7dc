"""Commands that compute: train a reference, score a dataset, and the demo, which does both."""

from typing import Annotated

import typer

from ..data.training_methods import LARGEST_SEED, LEARNING_RATES
from ..data.version import COMMAND
from ..models.devices import DTYPES
from ..models.quantizing import QUANTIZATIONS
from ..scoring.planning import ScoreRequest
from ..selection import save_selection
from ..training.training_plan import TrainRequest
from ..workspace import demo
from ..workspace.embedding import embed_run
from ..workspace.promptless import score_without_prompts
from ..workspace.running import score_dataset, train_reference
from ..workspace.supervisor import begin_training
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
from .terminal import console, owned_store, print_result, report_user_errors, say, wait_for

_USUAL_RATES = ", ".join(f"{rate:g} for {method}" for method, rate in LEARNING_RATES.items())


def demo_command(workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Run every step, from import to selection, on the demo's dataset and tiny base model."""
    with report_user_errors(), owned_store(workspace, "demo") as store:
        demo.import_demo(store)
        console.print("Demo dataset imported. Training a reference on it, then scoring both models.")
        job = begin_training(store, demo.train_request())
        if job:
            wait_for(store, job)
        run = demo.run_name(store)
        report = score_dataset(store, demo.score_request(run), wait_for, say)
        name, recipe = demo.recipe(run)
        summary = save_selection(store, name, recipe, replace_existing=True)
        sentence = (
            f"{report['examples']:,} examples scored, {summary.kept_rows:,} kept in the selection {name}. "
            f"Look at them with: {COMMAND} serve"
        )
        print_result({**report, "selection": name, "kept": summary.kept_rows}, as_json, sentence)


def train(
    dataset: Annotated[str, typer.Option(help="Dataset to fine-tune on.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    name: Annotated[str, typer.Option(help="Name of the reference, for --reference.")],
    method: Annotated[str, typer.Option(help=f"Training method: {' or '.join(LEARNING_RATES)}.")] = "lora",
    epochs: Annotated[float, number(min=0.001, help="Epochs.")] = 1.0,
    learning_rate: Annotated[float | None, number(help=f"Peak learning rate [{_USUAL_RATES}].")] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the initial weights and the data order.")
    ] = 0,
    max_length: MaxLength = None,
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    batch_tokens: Annotated[int, number(min=1, help="Batch size [tokens].")] = 4096,
    device: Device = "auto",
    folds: Annotated[
        int,
        number(min=1, help="Folds; with 2 or more every row is judged by models that never saw it."),
    ] = 1,
    seeds: Annotated[int, number(min=1, help="Seeds per fold; with 2 or more scores have a spread.")] = 1,
    folds_file: Annotated[str | None, typer.Option(help="File of folds to use instead of own ones.")] = None,
    held_out: Annotated[float, number(help="Share of rows that no model is trained on [0 to 0.5].")] = 0.0,
    early_stop: Annotated[bool, typer.Option(help="Stop when the loss on held-out rows rises.")] = False,
    selection: Annotated[str | None, typer.Option(help="Train on the rows of this selection only.")] = None,
    max_tokens: Annotated[int | None, number(min=1, help="Train on this many input tokens instead of epochs.")] = None,
    without_prompts: Annotated[
        bool, typer.Option(help="Train on the replies without their prompts: a null reference, for PVI.")
    ] = False,
    quantization: Annotated[
        str | None,
        typer.Option(help=f"Quantize the base's weights as they are loaded (QLoRA): {', '.join(QUANTIZATIONS)}."),
    ] = None,
    keep_checkpoints: Annotated[
        bool, typer.Option(help="Keep each epoch's adapter and Adam's moments, for scores less and s2l (LoRA).")
    ] = False,
    processes: Annotated[int, number(min=1, help="Processes that share each batch; at most one per GPU.")] = 1,
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Train a reference on exactly the tokens that will be scored."""
    request = TrainRequest(
        dataset, base, name, method, epochs, learning_rate, seed, template, max_length, device, batch_tokens,
        replies=replies, template_date=template_date, folds=folds, seeds=seeds, held_out=held_out,
        folds_file=folds_file, early_stop=early_stop, selection=selection, max_tokens=max_tokens,
        without_prompts=without_prompts, quantization=quantization, keep_checkpoints=keep_checkpoints,
        processes=processes,
    )  # fmt: skip
    with report_user_errors(), owned_store(workspace, "train") as store:
        fields = train_reference(store, request, wait_for, say)
        done = (
            f"trained in {fields['elapsed_seconds']:,.0f} s"
            if fields["trained"]
            else "already exists with these settings"
        )
        print_result(fields, as_json, f"Reference {name!r} {done}: {fields['path']}")


def score(
    dataset: Annotated[str, typer.Option(help="Dataset to score.")],
    base: Annotated[str, typer.Option(metavar="MODEL", help="Base model: Hub id or local folder.")],
    reference: Annotated[
        str,
        typer.Option(metavar="MODEL", help="Reference model: name of a trained reference, adapter, folder or Hub id."),
    ],
    run: Annotated[str | None, typer.Option(help="Name of the run [dataset-reference].")] = None,
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help=f"Precision: {', '.join(DTYPES)}.")] = "auto",
    own: Annotated[
        bool, typer.Option(help="Cross-fitted reference: also score each row by the models trained on it.")
    ] = False,
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    placement: Placed = None,
    quantization: Annotated[
        str | None,
        typer.Option(help=f"Quantize both models' weights as they are loaded: {', '.join(QUANTIZATIONS)}."),
    ] = None,
    embed: Annotated[bool, typer.Option(help="Embed the rows too, in one more pass of the base.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Compute the losses that are not cached yet, under the base and the reference."""
    with report_user_errors(), owned_store(workspace, "score") as store:
        request = ScoreRequest(
            dataset,
            base,
            reference,
            run,
            template,
            max_length,
            device,
            dtype,
            replies,
            template_date,
            own,
            quantization,
        )
        report = score_dataset(store, request, wait_for, say)
        computed, cached = (sum(report[part].values()) for part in ("computed", "cached"))
        sentence = (
            f"Run {report['run']!r}: {report['examples']:,} examples, {computed:,} losses computed, {cached:,} cached."
        )
        if embed:
            report["embeddings"] = embed_run(store, report["run"], wait_for, device)
            sentence += f" {report['embeddings']['computed']:,} embeddings computed."
        print_result(report, as_json, sentence)


def promptless(
    run: Annotated[str, typer.Option(help="Run whose responses are scored without their prompts.")],
    reference: Annotated[bool, typer.Option(help="Under the reference, for pvi_like [the base, for ifd].")] = False,
    null_reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Under this reference, trained with --without-prompts, for pvi.")
    ] = None,
    device: Device = "auto",
    placement: Placed = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Score a run's responses without their prompts: one more pass, for ifd and ifd_perplexity, pvi_like or pvi."""
    if reference and null_reference is not None:
        raise typer.BadParameter("Give either --reference or --null-reference.")
    with report_user_errors(), owned_store(workspace, "promptless") as store:
        fields = score_without_prompts(store, run, wait_for, reference, device, null_reference)
        sentence = (
            f"Run {run!r}: {fields['computed']:,} losses computed; {fields['rows']:,} rows have a loss without their "
            f"prompt under the {fields['model']}."
        )
        print_result(fields, as_json, sentence)
