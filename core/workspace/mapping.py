"""A map of a run's rows: what it needs, and the job, run to its end."""

from typing import Any

from ..data.errors import ModelUnusable
from ..jobs.job import Job, all_jobs, unfinished
from ..scoring.embeddings.embedding_jobs import KIND as EMBED
from ..scoring.embeddings.embedding_jobs import embed_command, plan_of_run, plan_of_sentence_model
from ..scoring.embeddings.map_jobs import begin_map
from ..store import Store
from ..store.embedding_files import EmbeddingSpec, base_embeddings, embeddings_of_run
from ..store.maps import saved_map
from .embedding import begin_dataset_embedding
from .running import Wait


def lacking_sentence(what: str, spec: EmbeddingSpec) -> str:
    """What a page says where `what` needs embeddings that some rows lack."""
    if spec.is_of_file:
        return (
            f"{what} needs an embedding of each row, and some rows have no vector from {spec.label}. Import vectors of "
            "all rows (embed --from), or compute the base's, which the run then uses: one pass of the base model over "
            "the dataset."
        )
    if spec.is_of_sentence_model:
        return (
            f"{what} needs an embedding of each row, and some rows have none by {spec.label} yet. Compute them (embed "
            "--sentence-model), or compute the base's, which the run then uses: one pass of the base model over the "
            "dataset."
        )
    return f"{what} needs an embedding of each row: one pass of the base model over the dataset."


def open_embedding_job(store: Store, run: str) -> Job | None:
    """The running or interrupted job that computes the embeddings of a run's rows, under its base or as somebody asked
    for this run, if there is one."""
    jobs = all_jobs(store.workspace)
    try:
        of_base = unfinished(jobs, {"kind": EMBED, "key": base_embeddings(store.run(run)).key})
    except ModelUnusable:  # it does not say which base it has
        of_base = None
    return of_base or unfinished(jobs, {"kind": EMBED, "run": run})


def begin_embedding_of_run(store: Store, run: str, sentence_model: str | None = None) -> Job | None:
    """Start or join the job that computes the missing embeddings of a run's rows, under its base or by a
    sentence-embedding model, which the run uses once they are all there; None if there are none."""
    if sentence_model is None:
        return begin_dataset_embedding(store, plan_of_run(store, run))
    return begin_dataset_embedding(store, plan_of_sentence_model(store, run, sentence_model))


def begin_map_of_run(store: Store, run: str, seed: int = 0) -> tuple[str, Job | None]:
    """Start or join the map of a run's rows by the embeddings that it uses; see `begin_map`."""
    found = store.run(run)
    spec = embeddings_of_run(found)
    return begin_map(store, str(found["dataset"]), spec, seed, embed_command(run, spec))


def map_run(store: Store, run: str, seed: int, wait: Wait) -> dict[str, Any]:
    """Make the map of a run's rows, or find it. Fields: run, dataset, key, library, seed, examples, places, computed
    (whether it was made now), elapsed_seconds. Raises `NotFound`, naming the command, if there are no embeddings."""
    key, job = begin_map_of_run(store, run, seed)
    outcome = wait(store, job) if job else None
    dataset = str(store.run(run)["dataset"])
    found = saved_map(store, dataset, key)
    return {
        "run": run,
        "dataset": dataset,
        "key": key,
        "library": found.description["library"],
        "seed": seed,
        "examples": found.description["examples"],
        "places": found.place_count,
        "computed": outcome is not None,
        "elapsed_seconds": outcome["elapsed_seconds"] if outcome else 0.0,
    }
