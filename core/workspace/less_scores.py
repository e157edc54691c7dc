"""Scores rows by how their gradients point like a target set's (LESS): plans it, says what it costs, and runs the job
whose values become a score of the run's dataset."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ..data.listing import counted
from ..importing.reading import plain_stem
from ..importing.score_files import score_name
from ..importing.source_options import SourceOptions
from ..importing.target_rows import TargetRows, read_target
from ..jobs.job import Job
from ..scoring.embeddings.embedding_jobs import dataset_ids
from ..store import ImportedScore, ScoreOrigin, Store, imported_scores
from ..training.gradients.gradient_jobs import (
    KIND,
    GradientPlan,
    check_subtasks,
    create_gradient_job,
    plan_gradients,
    work_of,
)
from .holding import Say
from .running import Wait
from .score_imports import has_score
from .supervisor import join_or_compute

MEANING = (
    "A high value: by first order, a step of Adam on the row at the reference's checkpoints lowers the target's loss "
    "more. It does not show what rows do together, nor quality apart from the target; only a trial compares trainings."
)


@dataclass(frozen=True, slots=True)
class LessRequest:
    """A person's request. `name`: of the score, less_NAME, by default from the file's name. `reference`: one with kept
    checkpoints, by default the run's. The domains of the target's rows are its subtasks."""

    run: str
    target: str
    name: str | None = None
    options: SourceOptions = field(default_factory=SourceOptions)
    reference: str | None = None
    replace: bool = False
    device: str = "auto"


def score_less(store: Store, request: LessRequest, wait: Wait, say: Say) -> tuple[ImportedScore, dict[str, Any]]:
    """Add the score less_NAME of a target set to a run's dataset; `say` gets what it costs, before it starts.

    Returns it, and fields: targets, subtasks (usable target rows by domain), rejected and reasons (target's records and
    dataset's rows left out, by reason), computed (whether it was now), notices. Raises what `plan_gradients`,
    `read_target` and `check_subtasks` raise, and `NameTaken`; nothing is started then.
    """
    plan = plan_gradients(store, request.run, request.reference, request.device)
    target = read_target(request.target, request.options)
    check_subtasks(plan, len(set(target.domains)))
    name, work, ids = _name(request), work_of(plan, target), dataset_ids(store, plan.dataset)
    digest = hashlib.blake2b(work.encode() + ids.tobytes(), digest_size=6).hexdigest()
    origin = ScoreOrigin(target.name, target.sha256, "example-id", {name: _column(plan, target, digest)})
    wanted: dict[str, Any] = {
        "kind": KIND,
        "dataset": plan.dataset,
        "work": work,
        "origin": asdict(origin),
        "replace": request.replace,
    }

    def create() -> Job | None:
        # A job of this score may have been done, and its values saved only now.
        is_saved = has_score(store, plan.dataset, name, origin, request.replace)
        return None if is_saved else create_gradient_job(store, plan, target, wanted)

    outcome: dict[str, Any] = {}
    if not has_score(store, plan.dataset, name, origin, request.replace):
        say(plan.cost_sentence(len(ids), len(target.examples)))
        job = join_or_compute(store, wanted, create)
        outcome = wait(store, job) if job else {}
    fields = {
        "targets": len(target.examples),
        "subtasks": outcome.get("subtasks"),
        "rejected": target.rejected,
        "reasons": outcome.get("reasons"),
        "computed": bool(outcome),
        "notices": [*_notices(target, outcome), *outcome.get("notices", ())],
    }
    return next(score for score in imported_scores(store, plan.dataset) if score.name == name), fields


def _name(request: LessRequest) -> str:
    given = request.name or plain_stem(request.target.rstrip("/").rsplit("/", 1)[-1])
    return score_name(f"less_{given}")


def _column(plan: GradientPlan, target: TargetRows, digest: str) -> str:
    """Where the score comes from and what it means, as the table of scores and manifests say it."""
    count = len(set(target.domains))
    subtasks = f" in {count:,} subtasks" if count > 1 else ""
    return (
        f"LESS gradient similarity to {len(target.examples):,} rows{subtasks} by {plan.reference.label} (checkpoints: "
        f"{len(plan.checkpoints)}; {digest}); high: a step on the row lowers their loss more"
    )


def _notices(target: TargetRows, outcome: dict[str, Any]) -> Iterator[str]:
    """What was left out, a sentence each."""
    if target.rejected:
        yield f"Records of the target that were skipped: {counted(target.rejected)}."
    if without := outcome.get("target_reasons"):
        yield f"Rows of the target that are not used: {counted(without)}."
    if without := outcome.get("reasons"):
        yield f"Rows without a value: {counted(without)}."
