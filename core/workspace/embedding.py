"""Embeddings, run to their end: of a dataset, or of rows from a file, computed where they are missing."""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from ..data.errors import NotFound
from ..jobs.example_chunks import Ids, id_texts
from ..jobs.job import Job
from ..near_duplicates.jobs import begin_semantic_duplicates
from ..scoring.embeddings.embedding_jobs import (
    EmbeddingPlan,
    ask_for_run,
    create_embedding_job,
    dataset_ids,
    embed_command,
    missing_ids,
    plan_of_run,
    plan_of_sentence_model,
    row_counts,
    stored_examples,
    use_computed,
)
from ..scoring.embeddings.row_text import TextEncoding
from ..store import Store, near_duplicate_set
from ..store.embedding_files import MOST_DIMENSIONS, Vectors, embeddings_of_run, read_embeddings
from .running import Wait, search_fields
from .supervisor import join_or_compute

Examples = Callable[[list[str]], pa.Table | Iterable[pa.RecordBatch]]
"""Gives the examples of some ids, as of a job's file."""


def embed_dataset(store: Store, plan: EmbeddingPlan, wait: Wait) -> dict[str, Any]:
    """Compute what is missing of a dataset's embeddings. Fields: dataset, model, key, dimensions, seed, examples,
    computed, cached, tokens, tokens_per_second, elapsed_seconds."""
    return {"dataset": plan.of, **embed(store, plan, *_of_dataset(store, plan.of), wait)}


def embed_run(
    store: Store,
    run: str,
    wait: Wait,
    device: str = "auto",
    dimensions: int = MOST_DIMENSIONS,
    seed: int = 0,
    sentence_model: str | None = None,
) -> dict[str, Any]:
    """Compute what is missing of the embeddings of a run's rows, under its base or by a sentence-embedding model. The
    run then uses them, unless they are the base's of other dimensions or another seed than by default; fields as of
    `embed_dataset`, run, and run_uses: the embeddings that it uses (`EmbeddingSpec`, and key). By a sentence model also
    max_length [tokens, or None], truncated (unique rows that are longer) and without (those that have no text)."""
    if sentence_model is None:
        report = embed_dataset(store, plan_of_run(store, run, device, dimensions, seed), wait)
    else:
        plan = plan_of_sentence_model(store, run, sentence_model, device, dimensions, seed)
        report = embed_dataset(store, plan, wait)
        truncated, without = row_counts(store, plan.of, plan.spec)
        longest = TextEncoding.from_key(plan.spec.encoding).max_length
        report |= {"max_length": longest, "truncated": truncated, "without": without}
    used = embeddings_of_run(store.run(run))
    return {**report, "run": run, "run_uses": {"key": used.key, **used.to_fields()}}


def embed_sentence(report: dict[str, Any]) -> str:
    """What `embed_dataset` or `embed_run` did, for people."""
    done = (
        f"Dataset {report['dataset']!r}: {report['examples']:,} examples embedded with {report['model']}, "
        f"{report['computed']:,} computed, {report['cached']:,} cached."
    )
    if report.get("truncated"):
        done += (
            f" {report['truncated']:,} are longer than the {report['max_length']:,} tokens that the model reads, and "
            "were embedded from their first ones."
        )
    if report.get("without"):
        done += f" {report['without']:,} have no reply and so no vector."
    used = report.get("run_uses", report)
    if used["key"] == report["key"]:
        return done
    return (
        f"{done} Run {report['run']!r} still uses those of {used['label']} ({used['dimensions']} dimensions, seed "
        f"{used['seed']}); only scores like with the same --dimensions and --seed uses these."
    )


def embed(store: Store, plan: EmbeddingPlan, ids: Ids, examples: Examples, wait: Wait) -> dict[str, Any]:
    """Compute the embeddings of examples that are missing; see `embed_dataset`."""
    outcomes = []
    while job := begin_embedding(store, plan, ids, examples):
        outcomes.append(wait(store, job))
    tokens = sum(outcome["tokens"] for outcome in outcomes)
    computed = sum(outcome["examples"] for outcome in outcomes)
    elapsed = sum(outcome["elapsed_seconds"] for outcome in outcomes)
    return {
        "model": plan.model.label,
        "key": plan.spec.key,
        "dimensions": plan.spec.dimensions,
        "seed": plan.spec.seed,
        "examples": len(ids),
        "computed": computed,
        "cached": len(ids) - computed,
        "tokens": tokens,
        "tokens_per_second": tokens / elapsed if elapsed else None,
        "elapsed_seconds": elapsed,
    }


def group_semantic_duplicates(store: Store, dataset: str, run: str, threshold: float, wait: Wait) -> dict[str, Any]:
    """Find groups of a dataset's rows whose embeddings, those that a run uses, are alike; fields as of
    `group_near_duplicates`, and run. Raises `NotFound`, naming the command, if there are no embeddings."""
    found = store.run(run)
    if found["dataset"] != dataset:
        raise NotFound(f"The run {run!r} is of the dataset {found['dataset']!r}, not of {dataset!r}. Name one of its.")
    spec = embeddings_of_run(found)

    def embeddings() -> tuple[list[str], Vectors]:
        ids = dataset_ids(store, dataset)
        return id_texts(ids), read_embeddings(store.workspace, spec, ids, embed_command(run, spec)).vectors

    job = begin_semantic_duplicates(store, dataset, threshold, spec.key, embeddings)
    outcome = wait(store, job) if job else None
    search = near_duplicate_set(store, dataset, threshold, spec.key)
    return {"run": run, **search_fields(dataset, search, outcome)}


def begin_dataset_embedding(store: Store, plan: EmbeddingPlan) -> Job | None:
    """Start or join the job that computes what is missing of a dataset's embeddings; None if nothing is."""
    return begin_embedding(store, plan, *_of_dataset(store, plan.of))


def _of_dataset(store: Store, dataset: str) -> tuple[Ids, Examples]:
    return dataset_ids(store, dataset), lambda ids: stored_examples(store, ids)


def begin_embedding(store: Store, plan: EmbeddingPlan, ids: Ids, examples: Examples) -> Job | None:
    """Start or join the job that computes the missing embeddings; None if there are none. The plan's run uses them once
    they are all there."""

    def create() -> Job | None:
        if missing := missing_ids(store, plan, ids):
            return create_embedding_job(store, plan, examples(missing))
        use_computed(store, plan.run, plan.spec)
        return None

    job = join_or_compute(store, plan.identity, create)
    if job:
        ask_for_run(job, plan.run)
        use_computed(store, plan.run, plan.spec)  # it may have ended just before
    return job
