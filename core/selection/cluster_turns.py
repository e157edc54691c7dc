"""Orders rows so that every cluster of them has its share at any cut: by equal turns, or in proportion to its size.

Clusters are those of k-means (Lloyd 1982, seeded by k-means++, Arthur and Vassilvitskii 2007) on vectors of length 1.
Proportional turns are Webster's: the r-th row (from 0) of a cluster of n comes at (r + 1/2) / n.
"""

import numpy as np
from numpy.typing import NDArray

from ..store.embedding_files import Vectors, float_units

SEED = 0
_ROUNDS = 25


def cluster_order(vectors: Vectors, clusters: int, quota: str, given: int = 0) -> NDArray[np.int64]:
    """The rows of `vectors` [rows x dimensions], which come best first, in the order of turns. The first `given` rows
    stay first, and count as turns of their clusters. Rows of zeros are in no cluster and come last. Of fewer distinct
    rows than `clusters`, each is a cluster."""
    usable = np.flatnonzero(vectors.any(axis=1))
    cluster = _clusters(vectors[usable], clusters)
    rank = np.zeros(len(usable), np.int64)
    for number in np.unique(cluster):
        mine = cluster == number
        rank[mine] = np.arange(mine.sum())
    turn = rank if quota == "equal" else (rank + 0.5) / np.bincount(cluster)[cluster]
    order = np.concatenate([usable[np.lexsort((usable, turn))], np.setdiff1d(np.arange(len(vectors)), usable)])
    return np.concatenate([np.arange(min(given, len(vectors))), order[order >= given]])


def _clusters(vectors: Vectors, count: int) -> NDArray[np.int64]:
    """The cluster of each row."""
    from scipy.cluster.vq import kmeans2  # here, because the dashboard should not wait for it

    distinct, kind = np.unique(vectors, axis=0, return_inverse=True)
    if len(distinct) <= count:
        return np.asarray(kind, np.int64)
    units = float_units(distinct)
    _, found = kmeans2(units, units[_seeds(units, count)], _ROUNDS, minit="matrix")
    return np.asarray(found, np.int64)[kind]


def _seeds(units: NDArray[np.float32], count: int) -> list[int]:
    """Rows that k-means begins with: each by its squared distance to the nearest one chosen. scipy's own seeding
    computes all distances anew for each."""
    random, nearest = np.random.default_rng(SEED), np.full(len(units), np.inf)
    chosen = [int(random.integers(len(units)))]
    while len(chosen) < count:
        distances = 2 - 2 * (units @ units[chosen[-1]]).astype(np.float64)
        nearest = np.minimum(nearest, np.maximum(distances, 0))
        nearest[chosen[-1]] = 0
        place = np.searchsorted(np.cumsum(nearest), random.uniform() * nearest.sum(), "right")
        chosen.append(min(int(place), len(units) - 1))
    return chosen
