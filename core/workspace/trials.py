"""Trials and evaluations, run to their end: what is missing is trained or evaluated, what is done stays done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from ..data.errors import NotFound, TrialInvalid
from ..data.training_methods import LEARNING_RATES
from ..encoding.encoding_spec import EncodingSpec
from ..evidence import ARMS, Arm, Cell, TrialBudget, TrialPlan, TrialTraining, arm_rows, cells, trial_cost
from ..evidence.held_out_rows import held_out_rows
from ..evidence.trial import DEFAULT_SEEDS
from ..evidence.trial_folder import Trial, change_plan, load_trial, save_trial, trial_names
from ..evidence.trial_jobs import cell_identity, check_base, create_cell_job, create_probe_job
from ..jobs.job import Job, join_or_start, start_worker
from ..models.resolving import ModelSpec
from ..near_duplicates.jobs import DEFAULT_THRESHOLD, begin_near_duplicates
from ..scoring.evaluating import Evaluation, evaluated_losses, plan_evaluation
from ..selection import saved_selection
from ..store import Store
from .evaluation import compute_losses
from .holding import Say
from .running import Wait

DEFAULT_ARMS = ("random-by-domain", "length-matched-random", "longest", "lowest-score", "highest-base-loss", "all")


@dataclass(frozen=True)
class TrialRequest:
    """What a user decides of a trial. `selections`: names of saved ones. `arms`: kinds of `ARMS` beside them.
    `seeds`: how many, from 1 on. `held_out`: None takes the rows that the run's reference held out. `budget`: None for
    as many input tokens as `epochs` passes over the first selection have. `learning_rate`: None for the method's."""

    name: str
    run: str
    selections: tuple[str, ...]
    arms: tuple[str, ...] = DEFAULT_ARMS
    draws: int = 0
    seeds: int = len(DEFAULT_SEEDS)
    ratios: tuple[float, ...] = ()
    budget: float | None = None
    budget_kind: str = "input_tokens"
    epochs: float = 1.0
    held_out: float | None = None
    held_out_seed: int = 0
    method: str = "lora"
    learning_rate: float | None = None
    batch_tokens: int = 4096
    metric: str = "token_weighted"
    device: str = "auto"
    keep_models: bool = False


def plan_trial(store: Store, request: TrialRequest, wait: Wait) -> Trial:
    """Fix a trial, after a probe of what it costs; nothing is trained for it yet. Raises a `UserError`."""
    run = store.run(request.run)
    description = run["description"]
    if "models" not in description or "encoding" not in description:
        raise TrialInvalid(f"The run {request.run!r} does not record its base. Score the dataset again.")
    if request.held_out is not None and (search := begin_near_duplicates(store, run["dataset"], DEFAULT_THRESHOLD)):
        wait(store, search)
    held_out = held_out_rows(store, run, request.held_out, request.held_out_seed)
    fixed = {
        "dataset": run["dataset"],
        "base": description["models"]["base"],
        "encoding": description["encoding"],
        "device": request.device,
        "keep_models": request.keep_models,
    }
    planned = _plan(store, request, request.budget or 1)
    rows = _largest_arm(store, planned, held_out)
    ids = held_out["example_id"].tolist()
    outcome = wait(store, _started(create_probe_job(store, fixed, planned.training, rows, ids)))
    fixed["probe"] = {name: outcome[name] for name in _MEASURED}
    if request.budget is None:
        unit = "scored_tokens" if request.budget_kind == "scored_tokens" else "input_tokens"
        tokens = max(1, round(len(rows) * outcome[unit] * request.epochs))
        planned = _plan(store, request, request.epochs if request.budget_kind == "passes" else tokens)
    fixed["cost"] = _cost(planned, fixed["probe"], len(held_out), len(rows))
    return save_trial(store.workspace, planned, fixed, held_out)


_MEASURED = (
    "loading_seconds",
    "training_rate",
    "scoring_rate",
    "input_tokens",
    "scored_tokens",
    "held_out_tokens",
)


def run_trial(store: Store, name: str, wait: Wait, say: Say) -> Trial:
    """Train and evaluate what a trial lacks, one model after another; run again, it goes on where it was stopped."""
    trial = load_trial(store.workspace, name)
    check_base(store, trial)
    while missing := trial.missing():
        cell, total = missing[0], len(list(cells(trial.plan)))
        say(f"Model {total - len(missing) + 1} of {total}: {cell.name}")
        if ARMS[trial.plan.arm(cell.arm).kind].trained:
            _train_cell(store, trial, cell, wait)
        else:
            _evaluate_cell(store, trial, cell, wait)
    return trial


def add_arm(store: Store, name: str, arm: str, models: Sequence[str]) -> Trial:
    """Add an arm of models trained elsewhere to a trial; they are only evaluated, and the arm is exploratory.

    Raises `TokenizerMismatch` or `ModelUnusable` for a model that does not fit the trial's base.
    """
    trial = load_trial(store.workspace, name)
    for model in models:
        _evaluation(store, trial, model)
    return change_plan(trial, trial.plan.with_exploratory(Arm(arm, "outside", models=tuple(models))))


def trials_of(store: Store, run: str | None = None) -> list[Trial]:
    """The trials of a run, or all of them."""
    found = [load_trial(store.workspace, name) for name in trial_names(store.workspace)]
    return [trial for trial in found if run is None or trial.plan.run == run]


def _plan(store: Store, request: TrialRequest, budget: float) -> TrialPlan:
    if not request.selections:
        raise TrialInvalid("The trial has no selection. Name at least one with --selection.")
    unknown = sorted(set(request.arms) - {kind for kind in ARMS if kind not in ("selection", "outside")})
    if unknown:
        known = ", ".join(kind for kind in ARMS if kind not in ("selection", "outside"))
        raise TrialInvalid(f"Unknown arm {', '.join(unknown)}. Must be one of: {known}.")
    arms = [Arm(_arm_name(name), "selection", saved_selection(store, name)) for name in request.selections]
    arms += [Arm(kind, kind, draws=request.draws if ARMS[kind].random else 0) for kind in request.arms]
    rate = LEARNING_RATES.get(request.method, 1.0) if request.learning_rate is None else request.learning_rate
    return TrialPlan(
        request.name,
        request.run,
        tuple(arms),
        TrialBudget(budget, request.budget_kind),
        tuple(range(1, request.seeds + 1)),
        TrialTraining(request.method, rate, request.batch_tokens, request.epochs),
        request.metric,
        request.ratios or (None,),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _arm_name(selection: str) -> str:
    """A selection's name as part of a file's name."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in selection).strip("-")[:60]


def _largest_arm(store: Store, plan: TrialPlan, held_out: pd.DataFrame) -> list[str]:
    """The rows of the first selection, at the largest ratio of the trial."""
    ratio = max((ratio for ratio in plan.ratios if ratio is not None), default=None)
    return arm_rows(store, plan, plan.arms[0], ratio, 1, held_out["example_id"].tolist())


def _cost(plan: TrialPlan, probe: dict[str, float], held_out: int, rows: int) -> dict[str, Any]:
    tokens = plan.budget.value
    if plan.budget.kind == "scored_tokens":
        tokens *= probe["input_tokens"] / probe["scored_tokens"]
    elif plan.budget.kind == "passes":
        tokens *= rows * probe["input_tokens"]
    trained = [cell for cell in cells(plan) if ARMS[plan.arm(cell.arm).kind].trained]
    evaluated = held_out * probe["held_out_tokens"]
    found = trial_cost(len(trained), tokens, probe["training_rate"], evaluated, probe["scoring_rate"])
    loading = probe["loading_seconds"] * len(trained)
    whole = replace(found, seconds=found.seconds + loading, gpu_hours=found.gpu_hours + loading / 3600)
    return {"runs": whole.runs, "seconds": whole.seconds, "gpu_hours": whole.gpu_hours, "sentence": whole.sentence}


def _started(job: Job) -> Job:
    start_worker(job)
    return job


def _train_cell(store: Store, trial: Trial, cell: Cell, wait: Wait) -> None:
    job = join_or_start(store.workspace, cell_identity(trial, cell), lambda: create_cell_job(store, trial, cell))
    wait(store, job)
    if not trial.is_done(cell):
        raise NotFound(f"The job {job.job_id} ended without results for {cell.name}. Run the trial again.")


def _evaluate_cell(store: Store, trial: Trial, cell: Cell, wait: Wait) -> None:
    model = trial.plan.arm(cell.arm).models[cell.draw - 1]
    plan = _evaluation(store, trial, model)
    compute_losses(store, plan, wait)
    losses = pa.Table.from_pandas(evaluated_losses(store, plan), preserve_index=False)
    trial.save_result(cell, losses, {"model": model})


def _evaluation(store: Store, trial: Trial, model: str) -> Evaluation:
    fixed = trial.fixed
    base = ModelSpec(**fixed["base"])
    encoding = EncodingSpec(**fixed["encoding"])
    ids = trial.held_out["example_id"].tolist()
    return plan_evaluation(store, model, base, fixed["dataset"], encoding, ids, fixed["device"])
