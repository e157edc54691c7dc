"""The demo: our own dataset and tiny base model through the whole line, live."""

from dataclasses import asdict
from typing import Any

from ..data import settings
from ..importing import DomainRule, SourceOptions, import_source
from ..jobs.job import Job
from ..models.resolving import DEMO_BASE
from ..scoring.planning import ScoreRequest
from ..selection import Amount, Selection
from ..store import Store
from ..system.program import DEMO
from ..training.training_plan import TrainRequest
from .supervisor import begin_training

DATASET = DEMO / "dataset.jsonl"
NAME = "demo"
REFERENCE = "demo-reference"
SELECTION = "demo-top-16.7"
MAX_LENGTH = 512
"""Tokens kept of an example: the base was pretrained on rows of this length and knows no position beyond."""
RECIPE = Selection(run=NAME, amount=Amount("ratio", 0.167))


def import_demo(store: Store) -> None:
    """Import the demo's dataset; what is planted in it stays in fields that the scorer never sees."""
    import_source(store, NAME, DATASET, SourceOptions(format="alpaca", domain=DomainRule(field="domain")))


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


def score_request() -> ScoreRequest:
    """How the demo is scored."""
    return ScoreRequest(NAME, DEMO_BASE, REFERENCE, run=NAME, max_length=MAX_LENGTH, device="cpu", own=True)


def begin_demo(store: Store) -> Job | None:
    """Start the whole line: import now, then training, scoring and a saved selection as the workers finish.

    Returns the training job, or None if the reference was there already.
    """
    import_demo(store)
    then = (
        {"kind": "score", **asdict(score_request())},
        {"kind": "select", "name": SELECTION, "recipe": RECIPE.to_fields()},
    )
    return begin_training(store, train_request(then))
