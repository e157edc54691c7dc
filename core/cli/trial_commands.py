"""Commands that compare: evaluate a model, and the trial of a selection against random rows."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ..data import settings
from ..data.listing import MOST_NAMED
from ..data.placement import refuse_spread
from ..data.training_methods import LARGEST_SEED, LEARNING_RATES
from ..evidence import ARMS, BUDGET_KINDS, METRICS
from ..evidence.downstream import TaskRequest, evaluate_tasks
from ..evidence.trial_folder import Trial, load_trial
from ..jobs.side_by_side import MOST_AT_ONCE
from ..models.resolving import resolve_model
from ..scoring.planning import ScoreRequest
from ..workspace.evaluation import check_evaluation_file, write_evaluation
from ..workspace.evaluation import evaluate as evaluate_model
from ..workspace.trial_planning import DEFAULT_ARMS, TrialRequest
from ..workspace.trials import add_arm, plan_trial, run_trial
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
from .terminal import owned_store, print_result, report_user_errors, say, wait_for

trial_app = typer.Typer(
    help="Train on a selection and on what it has to beat, and compare held-out losses.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="Name of the trial.")]
_TRAINED = [kind for kind, arm in ARMS.items() if arm.trained and kind != "selection"]


@trial_app.command("plan")
def plan(
    name: Name,
    run: Annotated[str, typer.Option(help="Run whose scores select, and whose base is trained.")],
    selection: Annotated[list[str], typer.Option(help="Saved selection to compare with random. Can be repeated.")],
    arms: Annotated[str, typer.Option(help=f"Other arms: {', '.join(_TRAINED)}.")] = ",".join(DEFAULT_ARMS),
    ratio: Annotated[
        list[float] | None,
        number(help="Share of rows, instead of the selections' own amounts."),
    ] = None,
    draws: Annotated[int, typer.Option(min=0, max=1000, help="Draws of each random arm [5].")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Training seeds of each arm.")] = 3,
    max_tokens: Annotated[float | None, number(help="Budget of each model [as the selection has].")] = None,
    budget: Annotated[str, typer.Option(help=f"Unit of the budget: {', '.join(BUDGET_KINDS)}.")] = "input_tokens",
    epochs: Annotated[float, number(min=0.001, help="Passes over the selection that make the budget.")] = 1.0,
    held_out: Annotated[
        float | None,
        number(help="Share of rows to evaluate on [those the reference held out]."),
    ] = None,
    held_out_seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of that split.")] = 0,
    method: Annotated[str, typer.Option(help=f"Training method: {' or '.join(LEARNING_RATES)}.")] = "lora",
    learning_rate: Annotated[float | None, number(help="Peak learning rate [the method's].")] = None,
    batch_tokens: Annotated[int, number(min=1, help="Batch size [tokens].")] = 4096,
    metric: Annotated[str, typer.Option(help=f"Primary metric: {', '.join(METRICS)}.")] = "token_weighted",
    keep_models: Annotated[bool, typer.Option(help="Keep the trained models in the trial's folder.")] = False,
    device: Device = "auto",
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Fix a trial before it starts, and show what it will cost."""
    request = TrialRequest(
        name, run, tuple(selection), tuple(kind for kind in arms.split(",") if kind), draws, seeds,
        tuple(ratio or ()), max_tokens, budget, epochs, held_out, held_out_seed, method, learning_rate,
        batch_tokens, metric, device, keep_models,
    )  # fmt: skip
    with report_user_errors(), owned_store(workspace, "trial plan") as store:
        trial = plan_trial(store, request, wait_for)
        print_result({"plan": trial.plan.to_fields(), **trial.fixed}, as_json, _plan_sentence(trial))


@trial_app.command("run")
def run_command(
    name: Name,
    at_once: Annotated[
        int,
        typer.Option(min=1, max=MOST_AT_ONCE, help="Models trained side by side: a GPU each, or a share of the cores."),
    ] = 1,
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Train and evaluate the models that a trial lacks; run again after an interruption, it goes on."""
    with report_user_errors(), owned_store(workspace, "trial run") as store:
        _print_results(run_trial(store, name, wait_for, say, at_once), as_json)


@trial_app.command("show")
def show(name: Name, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show what a trial has found so far."""
    with report_user_errors():
        _print_results(load_trial(settings.workspace_path(workspace), name), as_json)


@trial_app.command("add")
def add(
    name: Name,
    arm: Annotated[str, typer.Argument(help="Name of the new arm.")],
    model: Annotated[list[str], typer.Option(help="Model trained elsewhere. Can be repeated.")],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Add an arm of models trained elsewhere; `trial run` then evaluates them."""
    with report_user_errors(), owned_store(workspace, "trial add") as store:
        trial = add_arm(store, name, arm, model)
        sentence = f"Arm {arm!r} added to {name!r} as exploratory. Evaluate it with: trial run {name}"
        print_result({"trial": name, "arm": arm, "missing": len(trial.missing())}, as_json, sentence)


def evaluate(
    model: Annotated[str, typer.Option(metavar="MODEL", help="Model: name of a reference, folder or Hub id.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset to evaluate on.")] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Or: tasks of lm-evaluation-harness to run.")
    ] = None,
    tasks_path: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Tasks: folder of further task files (.yaml).")
    ] = None,
    tasks_limit: Annotated[int | None, number(min=1, help="Tasks: rows of each [all].")] = None,
    python: Annotated[
        str | None, typer.Option(metavar="FILE", help="Tasks: interpreter that has lm-evaluation-harness [this one].")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Base of an adapter, and its tokenizer [its own].")
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(metavar="TRIAL", help="Only the rows that this trial held out.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write each example's loss to this file (.parquet or .csv).")
    ] = None,
    template: Template = "auto",
    replies: Replies = "all",
    template_date: TemplateDate = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    executor: RunsOn = None,
    ray_address: RayAddress = None,
    placement: Placed = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Compute a model's loss on a dataset, by domain, or run benchmark tasks on it."""
    names = tuple(name.strip() for name in (tasks or "").split(",") if name.strip())
    if (dataset is None) == (not names):
        raise typer.BadParameter("Give either --dataset, for losses, or --tasks, for benchmarks.")
    if dataset is None:
        if held_out or output:
            raise typer.BadParameter("--held-out and --output are for --dataset.")
        _evaluate_tasks(model, base, workspace, TaskRequest(names, tasks_path, tasks_limit, python, device), as_json)
        return
    if output:
        with report_user_errors():
            check_evaluation_file(output, settings.workspace_path(workspace))
    with report_user_errors(), owned_store(workspace, "evaluate") as store:
        request = ScoreRequest(
            dataset, base or model, model, None, template, max_length, device, "auto", replies, template_date
        )
        rows = load_trial(store.workspace, held_out).held_out["example_id"].tolist() if held_out else None
        losses, report = evaluate_model(store, request, wait_for, rows)
        if output:
            write_evaluation(output, losses)
        print_result(report, as_json, _evaluation_sentence(report))


def _evaluate_tasks(model: str, base: str | None, workspace: Path | None, request: TaskRequest, as_json: bool) -> None:
    folder = settings.workspace_path(workspace)
    with report_user_errors():
        refuse_spread("A benchmark task")
        based = resolve_model(base, folder) if base else None
        spec = resolve_model(model, folder, based)
        found = evaluate_tasks(spec, replace(request, tokenizer=based.path if based else None), say)
    lines = [
        f"{task}, {metric}: {number['value']}" + (f" ± {number['stderr']:.4f}" if number["stderr"] is not None else "")
        for task, metrics in found.items()
        for metric, number in metrics.items()
    ]
    print_result({"model": spec.label, "tasks": found}, as_json, "\n".join([f"{spec.label}:", *lines]))


def _evaluation_sentence(report: dict[str, Any]) -> str:
    lines = [f"{report['model']} on {report['dataset']}: {report['rows']:,} rows, {report['unscored']:,} not scored."]
    domains = {name: found for name, found in report["domains"].items() if found["loss"] is not None}
    largest = sorted(domains, key=lambda name: -domains[name]["rows"])[:MOST_NAMED]
    shown = {name: found for name, found in domains.items() if name in largest}
    for name, found in {"all": report, **shown}.items():
        if found["loss"] is not None:
            lines.append(
                f"{name}: {found['loss']:.4f} nats per token (row-weighted {found['row_weighted_loss']:.4f}), "
                f"{found['rows']:,} rows, {found['tokens']:,} tokens"
            )
    if len(domains) > len(shown):
        lines.append(f"and {len(domains) - len(shown):,} smaller domains; --json has all.")
    return "\n".join(lines)


def _plan_sentence(trial: Trial) -> str:
    arms = ", ".join(arm.name for arm in trial.plan.arms)
    return (
        f"Trial {trial.name!r} fixed: {arms}; {len(trial.held_out):,} held-out rows; budget "
        f"{trial.plan.budget.value:,.0f} {trial.plan.budget.kind.replace('_', ' ')} a model. "
        f"{trial.fixed['cost']['sentence']} Start it with: trial run {trial.name}"
    )


def _print_results(trial: Trial, as_json: bool) -> None:
    found = trial.results()
    fields: dict[str, Any] = {**found.to_fields(), "cost": trial.fixed["cost"]}
    print_result(fields, as_json, "\n".join(found.sentences))
