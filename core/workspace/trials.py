"""Trials, planned and run to their end: what is missing is trained or evaluated, what is done stays done."""

from collections.abc import Sequence

import pyarrow as pa

from ..data.errors import NotFound
from ..encoding.encoding_spec import EncodingSpec
from ..evidence import ARMS, Arm, Cell, cells
from ..evidence.trial_folder import Trial, change_plan, load_trial
from ..evidence.trial_jobs import CELL, base_of, cell_identity, create_cell_job
from ..evidence.trial_state import mark_stopped, running_trial
from ..jobs.job import Job
from ..jobs.queue import join_or_start
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


def run_trial(store: Store, name: str, wait: Wait, say: Say) -> Trial:
    """Train and evaluate what a trial lacks, one model after another; run again, it goes on where it was stopped."""
    trial = load_trial(store.workspace, name)
    base_of(store, trial)
    said = None
    while missing := trial.missing():
        cell, total = missing[0], len(list(cells(trial.plan)))
        if cell != said:
            say(f"Model {total - len(missing) + 1} of {total}: {cell.name}")
            said = cell
        if job := begin_cell(store, trial, cell):
            wait(store, job)
            check_ended(trial, cell, job)
    if running_trial(store.workspace, name):  # started in the dashboard, and finished here
        mark_stopped(store.workspace, name)
    return trial


def begin_cell(store: Store, trial: Trial, cell: Cell) -> Job | None:
    """Start or join the next job of one of a trial's models; None if its result could be saved at once."""
    if ARMS[trial.plan.arm(cell.arm).kind].trained:
        return join_or_start(store.workspace, cell_identity(trial, cell), lambda: create_cell_job(store, trial, cell))
    model = trial.plan.arm(cell.arm).models[cell.draw - 1]
    evaluation = _evaluation(store, trial, model)
    if job := begin_evaluation(store, evaluation):
        return job
    losses = pa.Table.from_pandas(evaluated_losses(store, evaluation), preserve_index=False)
    trial.save_result(cell, losses, {"model": model})
    return None


def check_ended(trial: Trial, cell: Cell, job: Job) -> None:
    """Raise `NotFound` if the training of a model is over without its results."""
    if job.kind == CELL and not trial.is_done(cell):
        raise NotFound(f"The job {job.job_id} ended without results for {cell.name}. Run the trial again.")


def add_arm(store: Store, name: str, arm: str, models: Sequence[str]) -> Trial:
    """Add an arm of models trained elsewhere to a trial; they are only evaluated, and the arm is exploratory.

    Raises `TokenizerMismatch` or `ModelUnusable` for a model that does not fit the trial's base.
    """
    trial = load_trial(store.workspace, name)
    for model in models:
        _evaluation(store, trial, model)
    return change_plan(trial, trial.plan.with_exploratory(Arm(arm, "outside", models=tuple(models))))


def _evaluation(store: Store, trial: Trial, model: str) -> Evaluation:
    fixed = trial.fixed
    base = base_of(store, trial)
    encoding = EncodingSpec(**fixed["encoding"])
    ids = trial.held_out["example_id"].tolist()
    return plan_evaluation(store, model, base, fixed["dataset"], encoding, ids, fixed["device"])
