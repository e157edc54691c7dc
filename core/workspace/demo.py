"""The demo: our own dataset and tiny base model through the whole line, live."""

import json
import shutil
from dataclasses import asdict, replace
from typing import Any

from ..data import settings
from ..evidence.trial_folder import trial_folder
from ..importing import DomainRule, SourceOptions, import_source
from ..jobs.job import Job
from ..models.resolving import DEMO_BASE
from ..scoring.planning import ScoreRequest
from ..scoring.reference_kind import SHIPPED
from ..selection import Amount, Selection
from ..store import Store
from ..system.atomic_files import published_folder
from ..system.permission import require_change
from ..system.program import DEMO
from ..system.workspace_files import make_private_folder
from ..training.training_plan import TrainRequest
from .supervisor import begin_training

DATASET = DEMO / "dataset.jsonl"
TRIAL = DEMO / "trial"
NAME = "demo"
REFERENCE = "demo-reference"
SELECTION = "demo-top-16.7"
MAX_LENGTH = 512
"""Tokens kept of an example: the base was pretrained on rows of this length and knows no position beyond."""
RECIPE = Selection(run=NAME, amount=Amount("ratio", 0.167))


def import_demo(store: Store) -> None:
    """Import the demo's dataset; what is planted in it stays in fields that the scorer never sees."""
    import_source(store, NAME, DATASET, SourceOptions(format="alpaca", domain=DomainRule(field="domain")))
    add_shipped_trial(store)


def add_shipped_trial(store: Store) -> None:
    """Put the trial that comes with the program beside the demo's run, unless there is one: it took longer than a demo
    may. Its plan names the base by its hash and its rows by their content, so it fits this run."""
    target = trial_folder(store.workspace, NAME)
    if TRIAL.exists() and not target.exists():
        require_change()
        make_private_folder(target.parent)
        with published_folder(target) as unfinished:
            shutil.copytree(TRIAL, unfinished, dirs_exist_ok=True)


def train_request(then: tuple[dict[str, Any], ...] = ()) -> TrainRequest:
    """How the demo's reference is trained: two whole tiny models, a few passes over half of the rows each."""
    return TrainRequest(
        NAME,
        DEMO_BASE,
        REFERENCE,
        method="full",
        epochs=settings.number("demo_epochs"),
        learning_rate=1e-3,
        max_length=MAX_LENGTH,
        device="cpu",
        then=then,
        folds=2,
        held_out=0.1,
    )


def run_name(store: Store) -> str:
    """The name of the demo's run as computed here: not that of the shipped one, whose models are others."""
    found = store.rows("SELECT description FROM run WHERE name = ?", [NAME])
    return f"{NAME}-trained-here" if found and SHIPPED in json.loads(found[0][0]) else NAME


def recipe(run: str) -> tuple[str, Selection]:
    """Name and recipe of the demo's selection from a run of it."""
    return f"{run}-top-16.7", replace(RECIPE, run=run)


def score_request(run: str) -> ScoreRequest:
    """How the demo is scored."""
    return ScoreRequest(NAME, DEMO_BASE, REFERENCE, run=run, max_length=MAX_LENGTH, device="cpu", own=True)


def begin_demo(store: Store) -> Job | None:
    """Start the whole line: import now, then training, scoring and a saved selection as the workers finish.

    Returns the training job, or None if the reference was there already.
    """
    import_demo(store)
    run = run_name(store)
    name, selection = recipe(run)
    then = (
        {"kind": "score", **asdict(score_request(run))},
        {"kind": "select", "name": name, "recipe": selection.to_fields()},
    )
    return begin_training(store, train_request(then))
