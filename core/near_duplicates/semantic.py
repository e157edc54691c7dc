"""A worker's search for semantic duplicates: a job's embeddings in, groups out.

Two rows are linked when the cosine of their embeddings is at least the threshold, and a group is what links hold
together. All pairs are compared, in blocks, so the groups are exact; the work grows with the square of the rows. In
memory are the vectors (4 bytes a dimension) and one block of cosines.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..jobs.job import Job
from ..store.embedding_files import Vectors, float_units
from ..store.vector_tables import read_vector_table
from .search import write_groups
from .similarity import numbered

_BLOCK = 2048
_ROUNDING = 1e-6
_CANCELLED = "The search for semantic duplicates was cancelled; nothing was saved."


def find_semantic_duplicates(job: Job) -> dict[str, Any]:
    """Group the job's rows and write the result as a search for near-duplicates does; returns examples, groups,
    grouped_examples and elapsed_seconds. Request: threshold. Raises `JobCancelled`."""
    began = time.monotonic()
    example_ids, vectors = read_vector_table(job.folder)
    groups = semantic_groups(
        vectors,
        job.request["threshold"],
        lambda share: job.report_share("Comparing embeddings", share, _CANCELLED),
    )
    return {**write_groups(job, example_ids, groups), "elapsed_seconds": time.monotonic() - began}


def semantic_groups(
    vectors: Vectors, threshold: float, report: Callable[[float], None] = lambda _: None
) -> npt.NDArray[np.int64]:
    """The group of each row of `vectors` [rows x dimensions] (of length 1, or zeros, which are in no group): numbered
    from 1, the largest first, then by first member; 0 without a group. `report` gets the share done, 0 to 1."""
    from scipy.sparse import coo_array  # here, because the dashboard should not wait for it
    from scipy.sparse.csgraph import connected_components

    count = len(vectors)
    numbers, labels = float_units(vectors), np.arange(count)
    for start in range(0, count, _BLOCK):
        rows = numbers[start : start + _BLOCK]
        links = [np.stack([np.arange(count), labels])]  # what is linked so far stays together
        for other in range(start, count, _BLOCK):
            alike = rows @ numbers[other : other + _BLOCK].T >= threshold - _ROUNDING
            first, second = np.nonzero(np.triu(alike, 1) if other == start else alike)
            pairs = np.unique(np.stack([labels[first + start], labels[second + other]]), axis=1)
            links.append(pairs[:, pairs[0] != pairs[1]])
        ends = np.concatenate(links, axis=1)
        graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(count, count))
        labels = _first_members(connected_components(graph, directed=False)[1])
        done = min(count, start + _BLOCK)
        report(1 - ((count - done) / count) ** 2)
    return numbered(labels)


def _first_members(component: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The first row of each row's component."""
    _, first, place = np.unique(component, return_index=True, return_inverse=True)
    return np.asarray(first[place], np.int64)
