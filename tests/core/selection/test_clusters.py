"""Quotas of clusters: the turns they take, the bounds of what is asked, and a recipe that replays to the same rows."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.data.errors import SelectionInvalid
from core.exporting import export_selection, selection_from_manifest
from core.selection import Amount, Pick, Selection, kept_rows, row_outcome, select_summary
from core.selection.cluster_turns import cluster_order
from core.selection.recipe import Spread
from core.store import Store
from tests.core.embedded_rows import unit


def around(sizes: tuple[int, ...]) -> np.ndarray:
    """Rows around axes at right angles, so many around each, in the order of the axes."""
    random = np.random.default_rng(0)
    return unit(np.eye(8)[np.repeat(np.arange(len(sizes)), sizes)] + 0.05 * random.normal(size=(sum(sizes), 8)))


def test_clusters_take_turns_by_equal_quotas_or_in_proportion_to_their_sizes() -> None:
    vectors, of = around((12, 6, 2)), np.repeat([0, 1, 2], [12, 6, 2])
    equal = cluster_order(vectors, 3, "equal")
    assert sorted(equal) == list(range(20))
    assert equal[:6].tolist() == [0, 12, 18, 1, 13, 19]
    assert of[equal[6:14]].tolist() == [0, 1] * 4
    proportional = cluster_order(vectors, 3, "proportional")
    for cut in (10, 20):  # of 12, 6 and 2 rows, half is 6, 3 and 1
        assert np.bincount(of[proportional[:cut]]).tolist() == [6 * cut // 10, 3 * cut // 10, cut // 10]
    assert all(np.diff(proportional[of[proportional] == each]).min() > 0 for each in range(3))
    assert cluster_order(vectors, 3, "equal", given=2).tolist()[:5] == [0, 1, 12, 18, 13]
    vectors[1] = 0
    assert cluster_order(vectors, 3, "equal")[-1] == 1
    assert cluster_order(vectors[:3], 5, "equal").tolist() == [0, 2, 1]
    assert cluster_order(vectors[:0], 5, "equal").tolist() == []


def kept(store: Store, selection: Selection) -> list[int]:
    return sorted(row for row, *_ in store.rows(*kept_rows(store, selection)))


def test_a_recipe_with_clusters_takes_rows_of_each_and_replays_to_the_same(embedded: Store, tmp_path: Path) -> None:
    """Rows 1 to 6, 7 and 8, 9 and 10 of chat are three heaps; all of math is one."""
    equal = Selection("planets", amount=Amount("rows", 10), spread=Spread("clusters", clusters=3))
    assert kept(embedded, equal) == [1, 2, 7, 8, 9, *range(11, 16)]
    proportional = Selection(
        "planets", amount=Amount("rows", 10), spread=Spread("clusters", clusters=3, quota="proportional")
    )
    assert kept(embedded, proportional) == [1, 2, 3, 7, 9, *range(11, 16)]
    for selection in (equal, proportional):
        assert Selection.from_fields(json.loads(json.dumps(selection.to_fields()))) == selection
        export_selection(embedded, selection, tmp_path / "out.jsonl")
        again = selection_from_manifest(tmp_path / "out.jsonl.manifest.json")
        assert kept(embedded, again) == kept(embedded, selection)
    assert row_outcome(embedded, equal, 9).sentence(equal).startswith("Selected: rank 3 of 10 eligible rows in chat")
    picked = embedded.rows("SELECT example_id::VARCHAR FROM scored_1 WHERE row_number = 8")[0][0]
    few = Selection("planets", amount=Amount("rows", 6), spread=Spread("clusters", clusters=3), picks=(Pick(picked),))
    assert kept(embedded, few) == [1, 8, 9, 11, 12, 13]


def test_clusters_that_cannot_be_are_refused_in_a_sentence(embedded: Store) -> None:
    with pytest.raises(SelectionInvalid, match=r"21 clusters were requested of 20 rows\. Give at most as many"):
        select_summary(embedded, Selection("planets", spread=Spread("clusters", clusters=21)))
    for given, sentence in (
        ({"clusters": 1}, "1 clusters were requested. Give 2 to 1,000"),
        ({"quota": "fair"}, "Unknown quota"),
    ):
        with pytest.raises(SelectionInvalid, match=sentence):
            Spread("clusters", **given)
