"""Orders rows so that every cluster of them has its share at any cut: by equal turns, or in proportion to its size.

Clusters are those of k-means on vectors of length 1. Proportional turns are Webster's: the r-th row (from 0) of a
cluster of n comes at (r + 1/2) / n.
"""

import numpy as np
from numpy.typing import NDArray

from ..store.embedding_files import Vectors, float_units
from .k_means import k_means

SEED = 0


def cluster_order(vectors: Vectors, clusters: int, quota: str, given: int = 0) -> NDArray[np.int64]:
    """The rows of `vectors` [rows x dimensions], which come best first, in the order of turns. The first `given` rows
    stay first, and count as turns of their clusters. Rows of zeros are in no cluster and come last. Of fewer distinct
    rows than `clusters`, each is a cluster."""
    usable = np.flatnonzero(vectors.any(axis=1))
    cluster = k_means(float_units(vectors[usable]), clusters, SEED)
    rank = np.zeros(len(usable), np.int64)
    for number in np.unique(cluster):
        mine = cluster == number
        rank[mine] = np.arange(mine.sum())
    turn = rank if quota == "equal" else (rank + 0.5) / np.bincount(cluster)[cluster]
    order = np.concatenate([usable[np.lexsort((usable, turn))], np.setdiff1d(np.arange(len(vectors)), usable)])
    return np.concatenate([np.arange(min(given, len(vectors))), order[order >= given]])
