"""A map as a job: created by the store's owner, run by a worker, ingested when it is done."""

import hashlib
import json
from typing import Any

from ...data.errors import NoUsableRows
from ...data.map_columns import MAP_KEY_CHARACTERS
from ...jobs.example_chunks import Ids, id_texts
from ...jobs.job import Job, all_jobs, create_job, unfinished
from ...jobs.queue import join_or_start
from ...jobs.result_tables import read_result_table
from ...store import Store
from ...store.embedding_files import EmbeddingSpec, read_embeddings
from ...store.maps import MapSet, save_map, saved_maps
from ...store.store import DATASET_KEY
from ...store.vector_tables import VECTORS, vector_table
from ...system.disk_errors import translate_disk_errors
from .embedding_jobs import dataset_ids
from .layout import FITTED, LAYOUT_RULE, library_version
from .map_work import RESULT

KIND = "map"


@translate_disk_errors("The map")
def begin_map(store: Store, dataset: str, spec: EmbeddingSpec, seed: int, command: str) -> tuple[str, Job | None]:
    """Start, join or restart the map of a dataset's embeddings; returns its key, and no job if there is such a map.

    Raises `NotFound`, naming the `command`, if rows have no embedding, `NoUsableRows` if none has one, and
    `SettingInvalid`.
    """
    ids = dataset_ids(store, dataset)
    request = _request(store, dataset, spec, seed, ids)
    if any(found.key == request["key"] for found in saved_maps(store, dataset, spec.key)):
        return request["key"], None

    def create() -> Job:
        embeddings = read_embeddings(store.workspace, spec, ids, command)
        if not embeddings.usable.any():
            raise NoUsableRows(f"No row of the dataset {dataset!r} has an embedding, so there is nothing to map.")
        vectors = {VECTORS: vector_table(id_texts(ids), embeddings.vectors)}
        return create_job(store.workspace, request, {}, vectors, loads_models=False)

    return request["key"], join_or_start(store.workspace, request, create)


def open_map_job(store: Store, dataset: str, embeddings: str) -> Job | None:
    """The running or interrupted job that maps a dataset's embeddings of that key, if there is one."""
    return unfinished(all_jobs(store.workspace), {"kind": KIND, "dataset": dataset, "embeddings": embeddings})


def ingest_map(store: Store, job: Job) -> None:
    """Save the result of a finished job; idempotent. Raises `NotFound` if the dataset is gone or another one has its
    name, `JobIncomplete` if the result has not arrived."""
    request = job.request
    store.check_same_dataset(request["dataset"], request[DATASET_KEY])
    places = read_result_table(job, RESULT)
    description = {name: request[name] for name in ("library", "seed", "fitted", "rule", "examples")}
    save_map(store, request["dataset"], request["key"], request["embeddings"], description, places)


def newest_map(store: Store, dataset: str, embeddings: str) -> MapSet | None:
    """The map that was made last of a dataset's embeddings of that key."""
    return next(iter(saved_maps(store, dataset, embeddings)), None)


def _request(store: Store, dataset: str, spec: EmbeddingSpec, seed: int, ids: Ids) -> dict[str, Any]:
    """What decides a map's places, and their key."""
    depends_on = {
        "embeddings": spec.key,
        "rows": hashlib.blake2b(ids.tobytes(), digest_size=16).hexdigest(),
        "library": library_version(),
        "rule": LAYOUT_RULE,
        "fitted": FITTED,
        "seed": seed,
    }
    text = json.dumps(depends_on, sort_keys=True).encode()
    return {
        **depends_on,
        "kind": KIND,
        "key": hashlib.blake2b(text, digest_size=MAP_KEY_CHARACTERS // 2).hexdigest(),
        "dataset": dataset,
        DATASET_KEY: store.dataset_key(dataset),
        "examples": len(ids),
    }
