"""The jobs of a trial: the training of one of its models, which is evaluated in the same job, and the probe."""

import shutil
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.errors import TrialInvalid
from ..data.placement import refuse_spread
from ..data.training_methods import DEFAULT_LORA_RANK
from ..jobs.job import Job, create_job
from ..models.resolving import ModelSpec, resolve_model
from ..store import Store
from ..store.example_domains import EXAMPLE_DOMAINS
from ..system.atomic_files import flush_folder, rename_durably
from ..training.recorded_models import HELD_OUT_LOSSES
from ..training.training_plan import budget_of
from .arms import arm_rows
from .trial import Cell, TrialPlan, TrialTraining
from .trial_folder import Trial, load_trial

CELL, PROBE = "trial_cell", "trial_probe"
_PROBE_ROWS = 256


def cell_identity(trial: Trial, cell: Cell) -> dict[str, Any]:
    """Fields that identify the training of one of a trial's models."""
    return {"kind": CELL, "trial": trial.name, "fingerprint": trial.plan.fingerprint, "cell": cell.name}


def create_cell_job(store: Store, trial: Trial, cell: Cell, beside: Mapping[str, Any]) -> Job:
    """Create the job that trains one of a trial's models on its arm's rows and evaluates it on the held-out rows.
    `beside`: fields of one that may run beside others of the trial (`core.jobs.side_by_side`)."""
    refuse_spread("Training")
    base = base_of(store, trial)
    arm = trial.plan.arm(cell.arm)
    rows = arm_rows(store, trial.plan, arm, cell.ratio, cell.draw, trial.held_out["example_id"].tolist())
    request = {
        **beside,
        **cell_identity(trial, cell),
        **_training_fields(trial.plan, trial.fixed),
        "base": base.to_fields(),
        "name": f"{trial.name}/{cell.name}",
        "seed": cell.seed,
        "arm": cell.arm,
        "ratio": cell.ratio,
        "draw": cell.draw,
        "arm_rows": len(rows),
        "keep_model": bool(trial.fixed.get("keep_models")),
    }
    return create_job(
        store.workspace,
        request,
        {
            "examples": examples_of(store, trial.fixed["dataset"], rows),
            "held_out": examples_of(store, trial.fixed["dataset"], trial.held_out["example_id"].tolist()),
        },
    )


def create_probe_job(
    store: Store, fixed: dict[str, Any], training: TrialTraining, rows: list[str], held_out: list[str]
) -> Job:
    """Create the job that measures how fast models of a trial train and score, on a sample of its rows."""
    refuse_spread("Training")
    request = {"kind": PROBE, "name": "probe", "seed": 0, **_shared_fields(training, fixed)}
    given = {"examples": rows, "held_out": held_out}
    samples = {name: ids[:: max(1, len(ids) // _PROBE_ROWS)] for name, ids in given.items()}
    return create_job(
        store.workspace, request, {name: examples_of(store, fixed["dataset"], ids) for name, ids in samples.items()}
    )


def _shared_fields(training: TrialTraining, fixed: dict[str, Any]) -> dict[str, Any]:
    return {
        **{key: fixed[key] for key in ("dataset", "base", "encoding", "device")},
        "method": training.method,
        "learning_rate": training.learning_rate,
        "batch_tokens": training.batch_tokens,
        "epochs": training.epochs,
        "lora_rank": DEFAULT_LORA_RANK,
    }


def _training_fields(plan: TrialPlan, fixed: dict[str, Any]) -> dict[str, Any]:
    """Everything of a training job's request that all models of a trial share."""
    fields = _shared_fields(plan.training, fixed)
    if plan.budget.kind == "passes":
        return fields | {"epochs": plan.budget.value}
    unit = "input" if plan.budget.kind == "input_tokens" else "scored"
    read = budget_input_tokens(plan, fixed["probe"])
    return fields | {"budget": budget_of(unit, int(plan.budget.value), read, plan.training.batch_tokens)}


def budget_input_tokens(plan: TrialPlan, probe: Mapping[str, float], rows: int = 0) -> float:
    """About how many input tokens a model of the trial trains on, by what the probe measured of its rows. `rows`: of
    its arm, which matter where the budget is in passes."""
    if plan.budget.kind == "passes":
        return plan.budget.value * rows * probe["input_tokens"]
    if plan.budget.kind == "scored_tokens":
        return plan.budget.value * probe["input_tokens"] / probe["scored_tokens"]
    return plan.budget.value


def publish_cell(store: Store, job: Job) -> None:
    """Move a finished model's results into its trial's folder; repeating changes nothing."""
    request, model = job.request, job.folder / "model"
    trial, cell = _cell_of(store, job)
    if not trial.is_done(cell):
        outcome = job.outcome or {}
        measured = {name: outcome.get(name) for name in ("steps", "input_tokens", "scored_tokens", "trained_examples")}
        seen, rows = outcome.get("seen_examples"), outcome.get("trained_examples")
        measured |= {"seconds": outcome.get("elapsed_seconds"), "rows": request["arm_rows"]}
        measured["passes"] = seen / rows if seen and rows else None
        if request["keep_model"] and model.exists():
            (trial.folder / "models").mkdir(exist_ok=True)
            flush_folder(model)  # it may have been copied here
            rename_durably(model, trial.model_folder(cell))
        if not model.exists():  # moved there now, or before a crash
            model = trial.model_folder(cell)
        trial.save_result(cell, pq.read_table(model / HELD_OUT_LOSSES), measured)
    shutil.rmtree(job.folder / "model", ignore_errors=True)


def is_cell_being_published(store: Store, job: Job) -> bool:
    """Whether a finished model's results, or the model itself, are in its trial's folder already."""
    trial, cell = _cell_of(store, job)
    return trial.is_done(cell) or (not (job.folder / "model").exists() and trial.model_folder(cell).exists())


def _cell_of(store: Store, job: Job) -> tuple[Trial, Cell]:
    request = job.request
    cell = Cell(request["arm"], request["ratio"], request["draw"], request["seed"])
    return load_trial(store.workspace, request["trial"]), cell


def base_of(store: Store, trial: Trial) -> ModelSpec:
    """The trial's base as it is found here now. Raises `TrialInvalid` if its weights have changed."""
    known = trial.fixed["base"]
    base = resolve_model(known["label"], store.workspace)
    if base.weights_hash != known["weights_hash"]:
        raise TrialInvalid(
            f"The base {known['label']!r} has changed since the trial {trial.name!r} was planned. Bring back the "
            "model, or plan a new trial."
        )
    return base


def examples_of(store: Store, dataset: str, example_ids: list[str]) -> pa.Table:
    """Examples as a job's file: one row for each id in the given order, with its domain in the dataset."""
    sql = f"""
        SELECT w.example_id, conversation, domain
        FROM wanted w JOIN example e ON e.example_id = w.example_id::UUID
        JOIN ({EXAMPLE_DOMAINS}) r ON r.example_id = e.example_id ORDER BY place
    """
    wanted = pa.table({"place": range(len(example_ids)), "example_id": pa.array(example_ids, pa.string())})
    return store.arrow(sql, [store.dataset_id(dataset)], wanted=wanted)
