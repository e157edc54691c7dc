"""A worker's search for semantic duplicates: a job's embeddings in, groups out.

Two rows are linked when the cosine of their embeddings is at least the threshold, and a group is what links hold
together. All pairs are compared, in blocks, so the groups are exact; the work grows with the square of the rows.

Most pairs are ruled out by fewer numbers than a vector has: on axes by variance (principal components), the cosine is
at most the products on the first axes plus the product of what is left of both lengths (Cauchy-Schwarz). In memory are
those axes (at most 512 bytes a row), the vectors as they are stored, and one block of products.
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
_BOUND_ROUNDING = 1e-5  # of the axes besides
_AXES = (31, 63, 127)  # with what is left of the length they are a power of two, which products are fast for
_MOST_POSSIBLE = 1e-3  # share of pairs: comparing one by itself takes as long as hundreds in a block
_SAMPLED = 2000
_CANCELLED = "The search for semantic duplicates was cancelled; nothing was saved."

Numbers = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]


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
    comparison, labels = _Comparison(vectors, threshold), np.arange(count)
    for start in range(0, count, _BLOCK):
        links = [np.stack([np.arange(count), labels])]  # what is linked so far stays together
        for other in range(start, count, _BLOCK):
            first, second = comparison.alike(start, other)
            if len(first):
                pairs = np.unique(np.stack([labels[first], labels[second]]), axis=1)
                links.append(pairs[:, pairs[0] != pairs[1]])
        if len(links) > 1:
            ends = np.concatenate(links, axis=1)
            graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(count, count))
            labels = _first_members(connected_components(graph, directed=False)[1])
        done = min(count, start + _BLOCK)
        report(1 - ((count - done) / count) ** 2)
    return numbered(labels)


class _Comparison:
    """Finds the pairs of rows whose cosine is at least the threshold, a block at a time."""

    def __init__(self, vectors: Vectors, threshold: float) -> None:
        self._vectors, self._threshold = vectors, threshold
        self._bounds = _bounds(vectors, threshold)

    def alike(self, start: int, other: int) -> tuple[Places, Places]:
        """The pairs of one row from `start` on and a later one from `other` on, each of a block."""
        if self._bounds is not None:
            rows, others = (self._bounds[at : at + _BLOCK] for at in (start, other))
            first, second = _pairs(rows @ others.T >= self._threshold - _BOUND_ROUNDING, start, other)
            if len(first) <= 2 * _MOST_POSSIBLE * _BLOCK**2:
                one, two = (float_units(self._vectors[places]) for places in (first, second))
                alike = np.einsum("pd,pd->p", one, two) >= self._threshold - _ROUNDING
                return first[alike], second[alike]
        rows, others = (float_units(self._vectors[at : at + _BLOCK]) for at in (start, other))
        return _pairs(rows @ others.T >= self._threshold - _ROUNDING, start, other)


def _bounds(vectors: Vectors, threshold: float) -> Numbers | None:
    """Numbers of each row [rows x a few] whose products are at least the cosines, as few as rule out nearly all pairs
    of a sample that are not alike; None if too many would be left."""
    sample = float_units(vectors[:: max(1, len(vectors) // _SAMPLED)])
    axes = np.linalg.eigh(sample.T.astype(np.float64) @ sample)[1][:, ::-1].astype(np.float32)
    for count in _AXES:
        if count >= vectors.shape[1] // 2:
            return None
        of_sample = _bounding(sample, axes, count)
        if np.mean(of_sample @ of_sample.T >= threshold) - 1 / len(sample) <= _MOST_POSSIBLE:
            blocks = (float_units(vectors[at : at + _BLOCK]) for at in range(0, len(vectors), _BLOCK))
            return np.concatenate([_bounding(block, axes, count) for block in blocks])
    return None


def _bounding(units: Numbers, axes: Numbers, count: int) -> Numbers:
    """The vectors on the first axes, and what is left of their length."""
    turned = units @ axes
    return np.column_stack([turned[:, :count], np.linalg.norm(turned[:, count:], axis=1)])


def _pairs(alike: npt.NDArray[np.bool_], start: int, other: int) -> tuple[Places, Places]:
    """Rows and later rows of the places that hold true in a block."""
    rows = np.flatnonzero(alike.any(axis=1))  # first, because looking for places takes longer than the products
    place, second = np.nonzero(alike[rows])
    first, second = rows[place] + start, second + other
    later = first < second
    return first[later], second[later]


def _first_members(component: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The first row of each row's component."""
    _, first, place = np.unique(component, return_index=True, return_inverse=True)
    return np.asarray(first[place], np.int64)
