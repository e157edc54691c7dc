"""K-means clusters of points (Lloyd 1982, seeded by k-means++, Arthur and Vassilvitskii 2007), the same for the same
seed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 25

Points = NDArray[np.floating[Any]]
"""Points [rows x dimensions]."""


def k_means(points: Points, count: int, seed: int) -> NDArray[np.int64]:
    """The cluster of each point. Of fewer distinct points than `count`, each is a cluster."""
    from scipy.cluster.vq import kmeans2  # here, because the dashboard should not wait for it

    distinct, kind = np.unique(points, axis=0, return_inverse=True)
    if len(distinct) <= count:
        return np.asarray(kind, np.int64)
    _, found = kmeans2(distinct, distinct[_seeds(distinct, count, seed)], _ROUNDS, minit="matrix")
    return np.asarray(found, np.int64)[kind]


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
