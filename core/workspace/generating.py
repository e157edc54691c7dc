"""Makes a dataset of pairs from demonstrations: plans the responses, says what they cost, and runs the job."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..data.listing import counted
from ..jobs.job import Job
from ..scoring.generation.response_jobs import (
    GenerateRequest,
    GenerationPlan,
    Sampling,
    create_generation_job,
    plan_generation,
)
from ..store import Store, checked_dataset_name
from .generated_pairs import is_made_of, source_of_work
from .holding import Say
from .running import Wait
from .supervisor import join_or_compute


def generate_pairs(store: Store, request: GenerateRequest, wait: Wait, say: Say) -> dict[str, Any]:
    """Make the dataset of a request, or find it made; `say` gets the template and what it costs, before it starts.

    Fields: dataset, of (the dataset of demonstrations), base, key, sampling, prompts, generated (now), pairs, rejected
    (prompts that gave no pair, by reason), cut (responses), tokens, tokens_per_second, elapsed_seconds, notices. Raises
    what `plan_generation` raises, and `NameTaken` if another dataset has the name, or it is empty; nothing is started
    then.
    """
    plan = plan_pairs(store, request)
    request = plan.request
    outcome: dict[str, Any] = {}
    if not is_made_of(store, request.name, plan.work):
        say(plan.template_sentence)
        say(plan.cost_sentence())
        job = begin_pairs(store, plan)
        outcome = wait(store, job) if job else {}
    source = source_of_work(store, request.name, plan.work)
    assert source is not None
    cut = int(source["options"]["origin"]["cut"])
    return {
        "dataset": request.name,
        "of": request.dataset,
        "base": plan.base.label,
        "key": plan.key,
        "sampling": request.sampling.to_fields(),
        "prompts": len(plan.ids),
        "generated": outcome.get("generated", 0),
        "pairs": source["rows"] // 2,
        "rejected": source["rejected_by_reason"],
        "cut": cut,
        "tokens": outcome.get("tokens", 0),
        "tokens_per_second": outcome.get("tokens_per_second"),
        "elapsed_seconds": outcome.get("elapsed_seconds", 0.0),
        "notices": [*_notices(source["rejected_by_reason"], cut, request.sampling), *outcome.get("notices", ())],
    }


def plan_pairs(store: Store, request: GenerateRequest) -> GenerationPlan:
    """Resolve a request, its name included. Raises what `plan_generation` raises, and `NameTaken` for an empty name."""
    return plan_generation(store, replace(request, name=checked_dataset_name(request.name)))


def begin_pairs(store: Store, plan: GenerationPlan) -> Job | None:
    """Start or join the job of a plan; None if its pairs are there. Raises `NameTaken` if another dataset has the
    name."""

    def create() -> Job | None:
        # The job of these responses may have been done, and its pairs saved only now.
        return None if is_made_of(store, plan.request.name, plan.work) else create_generation_job(store, plan)

    return join_or_compute(store, plan.identity, create)


def _notices(rejected: dict[str, int], cut: int, sampling: Sampling) -> Iterator[str]:
    if rejected:
        yield f"Prompts that gave no pair: {counted(rejected)}."
    if cut:
        yield (
            f"{cut:,} responses were cut at {sampling.max_new_tokens:,} new tokens and are kept: their margin is that "
            "of a beginning. Give more with --max-new-tokens."
        )
