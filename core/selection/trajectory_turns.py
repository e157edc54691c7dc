"""S2L's order of rows (SmallToLarge, arXiv 2403.07384): k-means clusters of their loss trajectories take turns, and in
a cluster rows come at random.

S2L divides a budget over the clusters from the smallest upward: each gives min(its size, what is left // clusters
left). Rounds in which each cluster that has rows left gives one, the largest first, give the same amounts at every
budget: after full rounds, the division leaves its remainder, one row each, to the largest.
"""

import numpy as np
from numpy.typing import NDArray

from .k_means import Points, k_means


def s2l_order(trajectories: Points, clusters: int, seed: int) -> NDArray[np.int64]:
    """The rows of `trajectories` [rows x checkpoints, nats per token] in S2L's order, first taken first."""
    return turns(k_means(trajectories, clusters, seed), seed)


def turns(cluster: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The rows in the order of the turns of their clusters, by the `cluster` of each."""
    sizes = np.bincount(cluster)
    shuffled = np.random.default_rng(seed).permutation(len(cluster))
    by_cluster = shuffled[np.argsort(cluster[shuffled], kind="stable")]
    turn = np.empty(len(cluster), np.int64)
    turn[by_cluster] = np.arange(len(cluster)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.lexsort((-cluster, -sizes[cluster], turn))
