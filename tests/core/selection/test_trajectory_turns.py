"""S2L's order: planted clusters come back, and every cut has the amounts of S2L's own division of that budget."""

import tracemalloc
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from core.selection import k_means as clustering
from core.selection.k_means import k_means
from core.selection.trajectory_turns import s2l_order, turns


def amounts_of_s2l(sizes: Sequence[int], budget: int) -> list[int]:
    """The authors' division: the smallest cluster first, each min(its size, what is left // clusters left)."""
    amounts = [0] * len(sizes)
    for place, cluster in enumerate(sorted(range(len(sizes)), key=lambda each: sizes[each])):
        amounts[cluster] = min(sizes[cluster], budget // (len(sizes) - place))
        budget -= amounts[cluster]
    return amounts


def test_every_cut_has_the_amounts_that_s2l_gives_to_that_budget() -> None:
    for sizes in combinations_with_replacement(range(1, 6), 4):
        shuffled = [sizes[place] for place in (2, 0, 3, 1)]
        cluster = np.repeat(np.arange(4), shuffled)
        order = turns(cluster, seed=3)
        assert sorted(order.tolist()) == list(range(len(cluster)))
        for budget in range(len(cluster) + 1):
            taken = np.bincount(cluster[order[:budget]], minlength=4).tolist()
            assert taken == amounts_of_s2l(shuffled, budget), (shuffled, budget)


def test_planted_clusters_of_trajectories_come_back_and_take_turns() -> None:
    random = np.random.default_rng(5)
    shapes = np.array([[3.0, 1.0, 0.2], [3.0, 2.9, 2.8], [0.4, 0.3, 0.3]])
    planted = random.permutation(np.repeat([0, 1, 2], [20, 12, 4]))
    trajectories = shapes[planted] + 0.05 * random.normal(size=(36, 3))
    found = k_means(trajectories, 3, seed=0)
    pairs = set(zip(found.tolist(), planted.tolist(), strict=True))
    assert len(pairs) == 3
    order = s2l_order(trajectories, 3, seed=0)
    taken = planted[order]
    assert taken[:12].tolist() == [0, 1, 2] * 4  # the largest first in each round
    assert taken[12:28].tolist() == [0, 1] * 8
    assert taken[28:].tolist() == [0] * 8


def test_rows_of_a_cluster_come_at_random_by_the_seed() -> None:
    cluster = np.zeros(1000, np.int64)
    order = turns(cluster, seed=1)
    assert order.tolist() == turns(cluster, seed=1).tolist()
    assert order.tolist() != turns(cluster, seed=2).tolist()
    # Of 1,000 rows at random, the first half has 250 of the first 500 on average, with a deviation of 8.
    assert 210 < int((order[:500] < 500).sum()) < 290


def test_few_distinct_trajectories_are_a_cluster_each_and_no_rows_have_no_order() -> None:
    assert k_means(np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]]), 5, seed=0).tolist() == [1, 0, 1]
    assert s2l_order(np.zeros((0, 2)), 5, seed=0).tolist() == []


@pytest.mark.parametrize("dimensions", [2, 7])
def test_clusters_are_those_of_scipys_k_means_whatever_the_size_of_a_block(
    dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.unique(np.random.default_rng(1).normal(size=(500, dimensions)), axis=0)
    seeds = [3, 140, 260, 490]
    monkeypatch.setattr(clustering, "_seeds", lambda *_: seeds)
    expected = kmeans2(points, points[seeds], 25, minit="matrix")[1].tolist()
    for cells in (64 * dimensions, 2**23):
        monkeypatch.setattr(clustering, "_CELLS", cells)
        assert k_means(points, len(seeds), seed=0).tolist() == expected


def test_the_distances_to_all_clusters_are_never_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "_CELLS", 2**16)
    points = np.random.default_rng(2).normal(size=(20_000, 5))
    tracemalloc.start()
    k_means(points, 100, seed=0)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert highest < 20_000 * 100 * 8 / 2
