"""Trials, planned and run to their end: what is missing is trained or evaluated, what is done stays done."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from ..data import settings
from ..data.errors import NotFound, TrialInvalid, UserError
from ..data.placement import refuse_spread
from ..encoding.encoding_spec import EncodingSpec
from ..evidence import ARMS, Arm, Cell, cells
from ..evidence.trial_folder import Trial, change_plan, load_trial
from ..evidence.trial_jobs import CELL, base_of, cell_identity, create_cell_job
from ..evidence.trial_state import mark_stopped, running_trial
from ..jobs.executors import DEFAULT_EXECUTOR
from ..jobs.job import Job
from ..jobs.queue import join_or_start
from ..jobs.side_by_side import MOST_AT_ONCE, side_by_side
from ..models.devices import check_processes, resolve_device
from ..scoring.evaluating import Evaluation, evaluated_losses, plan_evaluation
from ..store import Store
from .evaluation import begin_evaluation
from .holding import Say
from .running import Wait
from .trial_planning import TrialRequest, begin_probe, begin_search, draft_trial, fix_trial


def plan_trial(store: Store, request: TrialRequest, wait: Wait) -> Trial:
    """Fix a trial, after a probe of what it costs; nothing is trained for it yet. Raises a `UserError`."""
    if search := begin_search(store, request):
        wait(store, search)
    draft = draft_trial(store, request)
    return fix_trial(store, draft, wait(store, begin_probe(store, draft)))


def run_trial(store: Store, name: str, wait: Wait, say: Say, at_once: int = 1) -> Trial:
    """Train and evaluate what a trial lacks, `at_once` models side by side; run again, it goes on where it was stopped.

    Raises what `check_at_once` raises, and the first failure of a model; others that are being trained go on.
    """
    trial = load_trial(store.workspace, name)
    base_of(store, trial)
    at_once = check_at_once(trial, at_once)
    at_work: dict[str, Job] = {}
    said = ""
    while trial.missing():
        with _others_named(at_work, say):
            at_work |= begin_missing(store, trial, at_work, at_once)
            if not at_work:  # the rest could be saved at once
                continue
            if (sentence := _at_work_sentence(trial, list(at_work), at_once)) != said:
                say(sentence)
                said = sentence
            wait(store, *at_work.values())
            for cell, job in [*at_work.items()]:
                if job.is_settled:
                    check_ended(trial, job)
                    del at_work[cell]
    if running_trial(store.workspace, name):  # started in the dashboard, and finished here
        mark_stopped(store.workspace, name)
    return trial


def check_at_once(trial: Trial, at_once: int) -> int:
    """How many of a trial's models are trained side by side, if so many are asked for: no more than are missing.

    Raises `TrialInvalid` for a number that cannot be, or more than cores here; `ModelUnusable` if not each would have a
    GPU of its own here, `SettingInvalid` where models are to be spread.
    """
    if not 1 <= at_once <= MOST_AT_ONCE:
        raise TrialInvalid(f"{at_once:,} models cannot be trained at once. Give 1 to {MOST_AT_ONCE}.")
    count = max(1, min(at_once, len(trial.missing())))
    if count > 1 and _is_here():
        refuse_spread("Training models side by side")
        device = resolve_device(trial.fixed["device"])
        check_processes(count, device, "models at once", "Train fewer at once.")
        if device == "cpu" and count > (most := max(2, os.cpu_count() or 1)):
            raise TrialInvalid(f"{count:,} models at once are too many for this machine's cores. Train at most {most}.")
    return count


def begin_missing(store: Store, trial: Trial, at_work: Collection[str], at_once: int) -> dict[str, Job]:
    """Start or join jobs of a trial's missing models, until `at_once` models are at work, those of `at_work` included;
    the new jobs by their model's name. Results that need no job are saved."""
    begun: dict[str, Job] = {}
    for cell in trial.missing():
        if len(at_work) + len(begun) >= at_once:
            break
        if cell.name not in at_work and (job := begin_cell(store, trial, cell, at_once)):
            begun[cell.name] = job
    return begun


def begin_cell(store: Store, trial: Trial, cell: Cell, at_once: int = 1) -> Job | None:
    """Start or join the next job of one of a trial's models; None if its result could be saved at once."""
    beside = side_by_side(trial.name, cell.name, at_once) if at_once > 1 and _is_here() else {}
    if ARMS[trial.plan.arm(cell.arm).kind].trained:
        identity = cell_identity(trial, cell)
        return join_or_start(store.workspace, identity, lambda: create_cell_job(store, trial, cell, beside))
    model = trial.plan.arm(cell.arm).models[cell.draw - 1]
    evaluation = _evaluation(store, trial, model)
    if job := begin_evaluation(store, evaluation, beside):
        return job
    losses = pa.Table.from_pandas(evaluated_losses(store, evaluation), preserve_index=False)
    trial.save_result(cell, losses, {"model": model})
    return None


def check_ended(trial: Trial, job: Job) -> None:
    """Raise `NotFound` if the training of a model is over without its results."""
    name = job.request.get("cell")
    if job.kind == CELL and name in [cell.name for cell in trial.missing()]:
        raise NotFound(f"The job {job.job_id} ended without results for {name}. Run the trial again.")


def add_arm(store: Store, name: str, arm: str, models: Sequence[str]) -> Trial:
    """Add an arm of models trained elsewhere to a trial; they are only evaluated, and the arm is exploratory.

    Raises `TokenizerMismatch` or `ModelUnusable` for a model that does not fit the trial's base.
    """
    trial = load_trial(store.workspace, name)
    for model in models:
        _evaluation(store, trial, model)
    return change_plan(trial, trial.plan.with_exploratory(Arm(arm, "outside", models=tuple(models))))


@contextmanager
def _others_named(at_work: dict[str, Job], say: Say) -> Iterator[None]:
    """Context manager: if something fails, names the models that are still at work."""
    try:
        yield
    except UserError:
        if others := [cell for cell, job in at_work.items() if job.state in ("running", "waiting")]:
            say(f"Still at work: {', '.join(others)}. Run the trial again to wait for them and go on.")
        raise


def _at_work_sentence(trial: Trial, at_work: list[str], at_once: int) -> str:
    total = len(list(cells(trial.plan)))
    done = total - len(trial.missing())
    if at_once == 1:
        return f"Model {done + 1} of {total}: {at_work[0]}"
    return f"{done} of {total} models done; at work: {', '.join(at_work)}"


def _is_here() -> bool:
    """Whether jobs are run by this machine, and share its GPUs or cores; others find room for themselves."""
    return settings.text("executor") == DEFAULT_EXECUTOR


def _evaluation(store: Store, trial: Trial, model: str) -> Evaluation:
    fixed = trial.fixed
    base = base_of(store, trial)
    encoding = EncodingSpec(**fixed["encoding"])
    ids = trial.held_out["example_id"].tolist()
    return plan_evaluation(store, model, base, fixed["dataset"], encoding, ids, fixed["device"])
