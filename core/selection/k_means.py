"""K-means clusters of points (Lloyd 1982, seeded by k-means++, Arthur and Vassilvitskii 2007), the same for the same
seed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 25
_CELLS = 2**23
"""Distances, and coordinates, held at once: 64 MB each."""

Points = NDArray[np.floating[Any]]
"""Points [rows x dimensions]."""


def k_means(points: Points, count: int, seed: int) -> NDArray[np.int64]:
    """The cluster of each point. Of fewer distinct points than `count`, each is a cluster."""
    distinct, kind = np.unique(points, axis=0, return_inverse=True)
    if len(distinct) <= count:
        return np.asarray(kind, np.int64)
    centres, found = distinct[_seeds(distinct, count, seed)], np.full(len(distinct), -1)
    for _ in range(_ROUNDS):
        before = found
        found, sums = _nearest(distinct, centres)
        if np.array_equal(found, before):
            break
        sizes = np.bincount(found, minlength=count)
        has_points = sizes > 0  # a centre without any stays where it is
        centres[has_points] = sums[has_points] / sizes[has_points, None]
    return found[kind]


def _nearest(points: Points, centres: Points) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest centre of each point, and the sum of each centre's points, in blocks: `vq` holds the distances of all
    points that it is given."""
    from scipy.cluster.vq import vq  # here, because the dashboard should not wait for them
    from scipy.sparse import csr_array

    found, sums = np.empty(len(points), np.int64), np.zeros(centres.shape)
    rows = max(1, _CELLS // max(centres.shape))
    for start in range(0, len(points), rows):
        block = points[start : start + rows]
        nearest, _ = vq(block, centres)
        found[start : start + rows] = nearest
        members = csr_array((np.ones(len(block)), nearest, np.arange(len(block) + 1)), (len(block), len(centres)))
        sums += members.T @ block
    return found, sums


def _seeds(points: Points, count: int, seed: int) -> list[int]:
    """Rows that k-means begins with: each by its squared distance to the nearest one chosen. scipy's own seeding
    computes all distances anew for each."""
    random, nearest = np.random.default_rng(seed), np.full(len(points), np.inf)
    squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    chosen = [int(random.integers(len(points)))]
    while len(chosen) < count:
        last = chosen[-1]
        distances = squares + squares[last] - 2 * (points @ points[last]).astype(np.float64)
        nearest = np.minimum(nearest, np.maximum(distances, 0))
        nearest[last] = 0
        place = np.searchsorted(np.cumsum(nearest), random.uniform() * nearest.sum(), "right")
        chosen.append(min(int(place), len(points) - 1))
    return chosen
