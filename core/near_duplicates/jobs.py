"""Looking for near duplicates as a job: begun by the store's owner, worked on by a worker, taken in when it is done."""

from typing import Any

import pyarrow.parquet as pq

from ..data.errors import NoUsableRows, SelectionInvalid
from ..jobs.job import Job, all_jobs, create_job, join_or_start, unfinished
from ..store import Store
from ..store.near_duplicates import count_examples, near_duplicate_sets, rounded, save_near_duplicates
from ..system.disk_errors import translate_disk_errors
from .search import RESULT

KIND = "near_duplicates"
DEFAULT_THRESHOLD = 0.8
LOWEST_THRESHOLD = 0.5
"""Below it the bands would propose nearly every pair, and what they find is no duplicate any more."""


@translate_disk_errors("The search for near duplicates")
def begin_near_duplicates(store: Store, dataset: str, threshold: float) -> Job | None:
    """Start, join or start again the search of a dataset; None if there is one that holds for its examples of now.

    Raises `NotFound`, `NoUsableRows`, or `SelectionInvalid` for a threshold that is none.
    """
    identity = _identity(store, dataset, threshold)
    known = [found for found in near_duplicate_sets(store, dataset) if found.threshold == identity["threshold"]]
    if known and not known[0].stale:
        return None
    return join_or_start(store.workspace, identity, lambda: create_near_duplicate_job(store, dataset, threshold))


def create_near_duplicate_job(store: Store, dataset: str, threshold: float) -> Job:
    """Make the job that compares a dataset's different examples; nothing is started. Raises as the beginning does."""
    # In order of their ids: the groups are numbered alike in whatever order the rows were imported.
    sql = """
        SELECT example_id::VARCHAR AS example_id, conversation, '' AS domain FROM example
        WHERE example_id IN (SELECT example_id FROM dataset_row WHERE dataset_id = ?) ORDER BY example.example_id
    """
    request = _identity(store, dataset, threshold)
    examples = store.batches(sql, [store.dataset_id(dataset)])
    return create_job(store.workspace, request, {"examples": examples})


def open_search(store: Store, dataset: str, threshold: float) -> Job | None:
    """The search of a dataset at a threshold that is under way or was interrupted, if there is one."""
    wanted = {"kind": KIND, "dataset": dataset, "threshold": rounded(threshold)}
    return unfinished(all_jobs(store.workspace), wanted)


def ingest_near_duplicates(store: Store, job: Job) -> None:
    """Save what a finished search found; done twice it changes nothing. Raises `NotFound` if the dataset is gone."""
    request = job.request
    groups = pq.read_table(job.folder / RESULT)
    save_near_duplicates(store, request["dataset"], request["threshold"], request["example_count"], groups)


def _identity(store: Store, dataset: str, threshold: float) -> dict[str, Any]:
    """What makes two searches the same work."""
    if not LOWEST_THRESHOLD <= threshold <= 1:
        raise SelectionInvalid(
            f"A threshold of {threshold:g} is out of range. Give a similarity between {LOWEST_THRESHOLD} (half of the "
            "text in common) and 1 (all of it)."
        )
    count = count_examples(store, dataset)
    if not count:
        raise NoUsableRows(f"The dataset {dataset!r} has no rows to compare. Import a file into it first.")
    return {"kind": KIND, "dataset": dataset, "threshold": rounded(threshold), "example_count": count}
