"""Running jobs to their end: training, scoring and the search for near duplicates, for whoever waits for them."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..exploring.unscored import unscored_sentences
from ..jobs.job import Job, all_jobs
from ..jobs.queue import cancel, start_next
from ..near_duplicates.jobs import begin_near_duplicates
from ..scoring.planning import ScoreRequest
from ..scoring.reference_kind import reference_kind
from ..store import Store, near_duplicate_set
from ..store.near_duplicates import NearDuplicateSet
from ..training.training_plan import TrainRequest
from .holding import Say
from .supervisor import begin_scoring, begin_training, check_outcome, ingest_finished_job

_POLL_SECONDS = 0.2


class Wait(Protocol):
    """Waits for a job, or until the first of several ends, and gives its outcome, as `wait_for_first` does with what
    it shows of the progress."""

    def __call__(self, store: Store, /, *jobs: Job) -> dict[str, Any]: ...


def wait_for_first(store: Store, jobs: Sequence[Job], show: Callable[[Job], None], say: Say) -> dict[str, Any]:
    """Wait until one of the jobs ends, taking in what they finish; returns its outcome. `show` gets each of them again
    and again.

    Ctrl-C cancels them all after their current batch. Raises `JobFailed` or `JobCancelled` with its sentence.
    """
    try:
        while not (ended := _ended(jobs)):
            _look(store, jobs, show)
    except KeyboardInterrupt:
        say("Stopping after the current batch; press Ctrl-C again to leave the worker running.")
        for job in jobs:
            cancel(job)
        while len(ended := _ended(jobs)) < len(jobs):
            _look(store, [job for job in jobs if job not in ended], show)
    for job in ended:
        ingest_finished_job(store, job)
    outcomes = [check_outcome(job) for job in ended]
    return outcomes[0]


def train_reference(store: Store, request: TrainRequest, wait: Wait, say: Say) -> dict[str, Any]:
    """Train a reference, or find it trained already. Fields: name, path, trained (whether it was now), and the
    outcome of the job."""
    job = begin_training(store, request)
    for notice in job.request.get("description", {}).get("notices", ()) if job else ():
        say(notice)
    outcome = wait(store, job) if job else {}
    path = store.workspace / "models" / request.name
    return {"name": request.name, "path": str(path), "trained": job is not None, **outcome}


def score_dataset(store: Store, request: ScoreRequest, wait: Wait, say: Say) -> dict[str, Any]:
    """Score until nothing is missing, joining a worker that is at it already. Fields: run, examples, unique_examples,
    computed and cached (by role), tokens, tokens_per_second, elapsed_seconds, notices, reference_kind."""
    plan, job = begin_scoring(store, request)
    first, outcomes = plan, []
    for notice in (plan.template_sentence, *plan.notices):
        say(notice)
    while job:
        missing = ", ".join(f"{plan.computed[role]:,} {role}" for role in plan.roles)
        say(f"{plan.unique_examples:,} different examples; to compute: {missing}.")
        outcomes.append(wait(store, job))
        plan, job = begin_scoring(store, request)
    tokens = sum(outcome["tokens"] for outcome in outcomes)
    elapsed = sum(outcome["elapsed_seconds"] for outcome in outcomes)
    found = [notice for outcome in outcomes for notice in outcome.get("notices", ())]
    run = store.run(first.request.run_name)
    found += unscored_sentences(store, run["table"])
    for notice in found:
        say(notice)
    return {
        "run": first.request.run_name,
        "examples": first.row_count,
        "unique_examples": first.unique_examples,
        "computed": first.computed,
        "cached": first.cached,
        "tokens": tokens,
        "tokens_per_second": tokens / elapsed if elapsed else None,
        "elapsed_seconds": elapsed,
        "notices": [first.template_sentence, *first.notices, *found],
        "reference_kind": reference_kind(store, run).to_fields(),
    }


def group_near_duplicates(store: Store, dataset: str, threshold: float, wait: Wait) -> dict[str, Any]:
    """Find a dataset's groups of near duplicates. Fields: dataset, threshold, examples, groups, grouped_examples,
    largest_group, computed (whether it was searched now), elapsed_seconds."""
    job = begin_near_duplicates(store, dataset, threshold)
    outcome = wait(store, job) if job else None
    return search_fields(dataset, near_duplicate_set(store, dataset, threshold), outcome)


def search_fields(dataset: str, found: NearDuplicateSet, outcome: dict[str, Any] | None) -> dict[str, Any]:
    """A search as JSON fields; `outcome`: of its job, None if it was there already."""
    return {
        "dataset": dataset,
        "threshold": found.threshold,
        "examples": found.example_count,
        "groups": found.group_count,
        "grouped_examples": found.grouped_examples,
        "largest_group": found.largest_group,
        "computed": outcome is not None,
        "elapsed_seconds": outcome["elapsed_seconds"] if outcome else 0.0,
    }


def _look(store: Store, jobs: Sequence[Job], show: Callable[[Job], None]) -> None:
    for job in jobs:
        ingest_finished_job(store, job)
        show(job)
    if any(job.state == "waiting" for job in jobs):
        start_next(all_jobs(store.workspace))
    time.sleep(_POLL_SECONDS)


def _ended(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if job.state not in ("running", "waiting")]
