"""A spread among the best rows: greedy equals brute force, its bounds hold, and a recipe replays to the same rows."""

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.data.errors import NotFound, SelectionInvalid
from core.exporting import export_selection, selection_from_manifest
from core.selection import Amount, Pick, Selection, kept_rows, select_summary
from core.selection.greedy import greedy_order
from core.selection.recipe import Spread
from core.store import Store
from tests.core.embedded_rows import DESCRIBED, unit


def cosines_of(vectors: NDArray[np.float16]) -> NDArray[np.float64]:
    whole = np.rint(vectors.astype(np.float64) * 2**11)
    return np.asarray(whole @ whole.T / 2**22)


def coverage(cosines: NDArray[np.float64], rows: Sequence[int]) -> float:
    return float(np.maximum(cosines[list(rows)], 0).max(0).mean()) if rows else 0.0


def located(cosines: NDArray[np.float64], rows: Sequence[int], weight: float) -> float:
    """What facility location makes large."""
    score = 1 - np.arange(len(cosines)) / (len(cosines) - 1)
    return float((1 - weight) * score[list(rows)].sum() / score.sum() + weight * coverage(cosines, rows))


def brute_force(value: Callable[[list[int], int], float], count: int) -> list[int]:
    """Every step tries every row."""
    chosen: list[int] = []
    for _ in range(count):
        left = [row for row in range(count) if row not in chosen]
        chosen.append(max(left, key=lambda row: (round(value(chosen, row), 12), -row)))
    return chosen


@pytest.mark.parametrize("weight", [0, 0.3, 1])
@pytest.mark.parametrize("seed", range(3))
def test_greedy_equals_brute_force(weight: float, seed: int) -> None:
    vectors = unit(np.random.default_rng(seed).normal(size=(12, 3)))
    cosines, score = cosines_of(vectors), 1 - np.arange(12) / 11

    def added(chosen: list[int], row: int) -> float:
        return located(cosines, [*chosen, row], weight) - located(cosines, chosen, weight)

    def farthest(chosen: list[int], row: int) -> float:
        distance = (1 - cosines[row, chosen].max()) / 2 if chosen else 1.0
        return float((1 - weight) * score[row] + weight * distance)

    assert greedy_order("facility_location", vectors, weight).tolist() == brute_force(added, 12)
    assert greedy_order("k_center", vectors, weight).tolist() == brute_force(farthest, 12)
    if not weight:
        assert greedy_order("k_center", vectors, weight).tolist() == list(range(12))


@pytest.mark.parametrize("seed", range(4))
def test_the_bounds_hold_on_random_rows(seed: int) -> None:
    vectors = unit(np.random.default_rng(seed).normal(size=(11, 4)))
    cosines, every = cosines_of(vectors), range(11)
    distances = np.linalg.norm(vectors.astype(float)[:, None] - vectors.astype(float), axis=2)
    for count in (2, 3, 4):
        sets = list(combinations(every, count))
        for weight in (0.5, 1.0):
            found = greedy_order("facility_location", vectors, weight)[:count].tolist()
            best = max(located(cosines, rows, weight) for rows in sets)
            assert located(cosines, found, weight) >= (1 - 1 / np.e) * best
        centers = greedy_order("k_center", vectors, 1)[:count]
        least = min(distances[list(rows)].min(0).max() for rows in sets)
        assert distances[centers].min(0).max() <= 2 * least + 1e-2


def test_copies_of_a_row_come_late_rows_without_a_vector_last_and_given_rows_first() -> None:
    vectors = unit(np.array([[1, 0, 0.0]] * 4 + [[0, 1, 0.0], [0, 0, 1.0]]))
    vectors[2] = 0
    for method in ("k_center", "facility_location"):
        order = greedy_order(method, vectors, 0.9).tolist()
        assert order[:3] == [0, 4, 5]
        assert order[-1] == 2
        assert greedy_order(method, vectors, 0.9, given=2).tolist()[:3] == [0, 1, 4]
    assert greedy_order("k_center", vectors[:1], 1).tolist() == [0]
    assert greedy_order("facility_location", vectors[:0], 1).tolist() == []


def kept(store: Store, selection: Selection) -> list[int]:
    return sorted(row for row, *_ in store.rows(*kept_rows(store, selection)))


def test_a_recipe_with_a_spread_takes_a_row_of_each_heap_and_replays_to_the_same(
    embedded: Store, tmp_path: Path
) -> None:
    plain = Selection("planets", amount=Amount("rows", 6))
    assert kept(embedded, plain) == [1, 2, 3, 11, 12, 13]
    for method in ("k_center", "facility_location"):
        spread = Selection("planets", amount=Amount("rows", 6), spread=Spread(method, 0.9))
        assert kept(embedded, spread) == [1, 7, 9, 11, 12, 13]
        assert select_summary(embedded, spread).kept_rows == 6
        assert Selection.from_fields(json.loads(json.dumps(spread.to_fields()))) == spread
    export_selection(embedded, spread, tmp_path / "out.jsonl")
    assert kept(embedded, selection_from_manifest(tmp_path / "out.jsonl.manifest.json")) == [1, 7, 9, 11, 12, 13]
    few = Selection("planets", amount=Amount("rows", 6), spread=Spread("k_center", 1, 2))
    summary = select_summary(embedded, few)
    assert kept(embedded, few) == [1, 2, 3, 11, 12, 13]
    assert "The best 2 rows are spread, and more are selected in 2 domains: the others follow by score." in (
        summary.notices
    )
    picked = embedded.rows("SELECT example_id::VARCHAR FROM scored_1 WHERE row_number = 8")[0][0]
    by_hand = Selection("planets", amount=Amount("rows", 6), spread=Spread("k_center", 0.9), picks=(Pick(picked),))
    assert kept(embedded, by_hand) == [1, 8, 9, 11, 12, 13]
    pooled = Selection("planets", scope="pooled", amount=Amount("rows", 4), spread=Spread("k_center", 1))
    assert {row for row in kept(embedded, pooled) if row > 10} == {11}


def test_bad_spreads_are_refused_in_a_sentence(scored_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for given, sentence in (
        ({"method": "wide"}, "Unknown spread 'wide'"),
        ({"weight": 2}, "The weight of the spread is 2"),
        ({"candidates": 1}, "has 1 candidates. Give 2 to 10,000"),
    ):
        with pytest.raises(SelectionInvalid, match=sentence):
            Spread(**given)
    with pytest.raises(SelectionInvalid, match="cannot order the same rows"):
        Selection("planets", spread=Spread(), length_bands=3)
    run = scored_store.run("planets")
    scored_store.save_run("planets", "space", run["loss_sets"], DESCRIBED)
    with pytest.raises(NotFound, match=r"20 of 20 rows have no embedding yet.*embed --run planets"):
        select_summary(scored_store, Selection("planets", spread=Spread()))
    monkeypatch.setattr("core.selection.spread._MOST_IN_ALL", 7)
    with pytest.raises(SelectionInvalid, match=r"has 20 candidates in all domains.*at most 3 candidates"):
        select_summary(scored_store, Selection("planets", spread=Spread()))
