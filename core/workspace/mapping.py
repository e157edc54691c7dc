"""A map of a run's rows: what it needs, and the job, run to its end."""

from typing import Any

import numpy as np

from ..jobs.job import Job, all_jobs, unfinished
from ..scoring.embeddings.embedding_jobs import KIND as EMBED
from ..scoring.embeddings.embedding_jobs import dataset_ids, embed_command, plan_of_run
from ..scoring.embeddings.map_jobs import begin_map
from ..store import Store
from ..store.embedding_files import EmbeddingSpec, embedding_folder, embeddings_of_run, ids_in
from ..store.maps import saved_map
from .embedding import begin_dataset_embedding
from .running import Wait


def lacks_embeddings(store: Store, dataset: str, spec: EmbeddingSpec) -> bool:
    """Whether some example of the dataset has no such embedding yet."""
    known = ids_in(embedding_folder(store.workspace, spec.key), spec.key)
    return not np.isin(dataset_ids(store, dataset), known).all()


def lacking_sentence(what: str, spec: EmbeddingSpec) -> str:
    """What a page says where `what` needs embeddings that some rows lack."""
    if spec.is_of_file:
        return (
            f"{what} needs an embedding of each row, and some rows have no vector from {spec.label}. Import vectors of "
            "all rows (embed --from), or compute the base's: one pass of the base model over the dataset."
        )
    return f"{what} needs an embedding of each row: one pass of the base model over the dataset."


def open_embedding_job(store: Store, spec: EmbeddingSpec) -> Job | None:
    """The running or interrupted job that computes such embeddings, if there is one."""
    return unfinished(all_jobs(store.workspace), {"kind": EMBED, "key": spec.key})


def begin_embedding_of_run(store: Store, run: str) -> Job | None:
    """Start or join the job that computes the missing embeddings of a run's rows under its base, which the run then
    uses; None if there are none."""
    plan = plan_of_run(store, run)
    store.use_embeddings(run, None)
    return begin_dataset_embedding(store, plan)


def begin_map_of_run(store: Store, run: str, seed: int = 0) -> tuple[str, Job | None]:
    """Start or join the map of a run's rows by their embeddings under its base; see `begin_map`."""
    found = store.run(run)
    return begin_map(store, str(found["dataset"]), embeddings_of_run(found), seed, embed_command(run))


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
