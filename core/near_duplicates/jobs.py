"""Near-duplicate search as a job: created by the store's owner, run by a worker, ingested when it is done."""

from collections.abc import Callable
from typing import Any

from ..data.errors import NoUsableRows, SelectionInvalid
from ..jobs.job import Job, all_jobs, create_job, unfinished
from ..jobs.queue import join_or_start
from ..jobs.result_tables import read_result_table
from ..store import Store
from ..store.embedding_files import Vectors
from ..store.near_duplicates import count_examples, near_duplicate_sets, rounded, save_near_duplicates
from ..store.store import DATASET_KEY
from ..store.vector_tables import VECTORS, vector_table
from ..system.disk_errors import translate_disk_errors
from .search import RESULT

KIND = "near_duplicates"
SEMANTIC_KIND = "semantic_duplicates"
DEFAULT_COSINE = 0.98
DEFAULT_THRESHOLD = 0.8
LOWEST_THRESHOLD = 0.5
"""Below this the bands would propose nearly every pair, and matches would not be duplicates."""


@translate_disk_errors("The search for near duplicates")
def begin_near_duplicates(store: Store, dataset: str, threshold: float) -> Job | None:
    """Start, join or restart the search of a dataset; None if there is an up-to-date search.

    Raises `NotFound`, `NoUsableRows`, or `SelectionInvalid` for an invalid threshold.
    """
    identity = _identity(store, dataset, threshold)
    known = [found for found in near_duplicate_sets(store, dataset) if found.threshold == identity["threshold"]]
    if known and not known[0].stale:
        return None
    return join_or_start(store.workspace, identity, lambda: create_near_duplicate_job(store, dataset, threshold))


def create_near_duplicate_job(store: Store, dataset: str, threshold: float) -> Job:
    """Create the job that compares a dataset's unique examples; it is not started. Raises like
    `begin_near_duplicates`."""
    # Ordered by id, so that group numbers do not depend on the order of import.
    sql = """
        SELECT example_id::VARCHAR AS example_id, conversation, '' AS domain FROM example
        WHERE example_id IN (SELECT example_id FROM dataset_row WHERE dataset_id = ?) ORDER BY example.example_id
    """
    request = _identity(store, dataset, threshold)
    examples = store.batches(sql, [store.dataset_id(dataset)])
    return create_job(store.workspace, request, {"examples": examples}, loads_models=False)


@translate_disk_errors("The search for semantic duplicates")
def begin_semantic_duplicates(
    store: Store, dataset: str, threshold: float, key: str, embeddings: Callable[[], tuple[list[str], Vectors]]
) -> Job | None:
    """Start, join or restart the search among a dataset's embeddings of that key; None if there is an up-to-date one.
    `embeddings` gives the ids and vectors of the dataset's unique examples. Raises like `begin_near_duplicates`."""
    identity = _identity(store, dataset, threshold) | {"kind": SEMANTIC_KIND, "embeddings": key}
    known = [each for each in near_duplicate_sets(store, dataset, key) if each.threshold == identity["threshold"]]
    if known and not known[0].stale:
        return None

    def create() -> Job:
        return create_job(store.workspace, identity, {}, {VECTORS: vector_table(*embeddings())}, loads_models=False)

    return join_or_start(store.workspace, identity, create)


def open_search(store: Store, dataset: str, threshold: float) -> Job | None:
    """The running or interrupted search of a dataset at a threshold, if there is one."""
    wanted = {"kind": KIND, "dataset": dataset, "threshold": rounded(threshold)}
    return unfinished(all_jobs(store.workspace), wanted)


def ingest_near_duplicates(store: Store, job: Job) -> None:
    """Save the result of a finished search; idempotent. Raises `NotFound` if the dataset is gone or another one has its
    name, `JobIncomplete` if the result has not arrived."""
    request = job.request
    store.check_same_dataset(request["dataset"], request.get(DATASET_KEY))
    groups = read_result_table(job, RESULT)
    save_near_duplicates(
        store, request["dataset"], request["threshold"], request["example_count"], groups, request.get("embeddings")
    )


def _identity(store: Store, dataset: str, threshold: float) -> dict[str, Any]:
    """Fields that identify a search: two searches with the same fields do the same work."""
    if not LOWEST_THRESHOLD <= threshold <= 1:
        raise SelectionInvalid(
            f"A threshold of {threshold:g} is out of range. Give a similarity between {LOWEST_THRESHOLD} (half of the "
            "text in common) and 1 (all of it)."
        )
    count = count_examples(store, dataset)
    if not count:
        raise NoUsableRows(f"The dataset {dataset!r} has no rows to compare. Import a file into it first.")
    return {
        "kind": KIND,
        "dataset": dataset,
        DATASET_KEY: store.dataset_key(dataset),
        "threshold": rounded(threshold),
        "example_count": count,
    }
