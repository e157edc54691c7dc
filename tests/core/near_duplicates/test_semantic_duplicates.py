"""Semantic duplicates: groups by the cosine of embeddings, kept, shown and collapsed as near-duplicates are."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from core.data.errors import NotFound, SelectionInvalid
from core.exploring.near_duplicate_groups import group_totals
from core.near_duplicates.semantic import _bounds, semantic_groups
from core.scoring.embeddings.embedding_jobs import plan_of_run
from core.selection import Amount, Selection, kept_rows, select_summary
from core.store import Store
from core.store.embedding_files import embeddings_of_run
from core.store.near_duplicates import near_duplicate_set, near_duplicate_sets
from core.workspace.embedding import embed_dataset, group_semantic_duplicates
from core.workspace.maintenance.checking import check_workspace
from core.workspace.running import group_near_duplicates
from tests.core.scored_models import score_examples
from tests.inline_executor import run_jobs_inline
from tests.tiny_models import example
from tests.trial_workspace import wait_quietly


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float16]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("threshold", [0.6, 0.9, 0.99])
@pytest.mark.parametrize("most_possible", [0.0, 0.1, 1.0])  # no pair, in some blocks, or every pair is ruled out alone
def test_groups_are_the_components_of_all_pairs_in_whatever_blocks(
    threshold: float, most_possible: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.near_duplicates.semantic._BLOCK", 7)
    monkeypatch.setattr("core.near_duplicates.semantic._AXES", (1,))
    monkeypatch.setattr("core.near_duplicates.semantic._MOST_POSSIBLE", most_possible)
    random = np.random.default_rng(5)
    vectors = unit(random.normal(size=(9, 4)).repeat(6, axis=0) + 0.15 * random.normal(size=(54, 4)))
    vectors[10] = 0
    numbers = vectors.astype(np.float64)
    numbers[numbers.any(1)] /= np.linalg.norm(numbers[numbers.any(1)], axis=1, keepdims=True)
    _, component = connected_components(numbers @ numbers.T >= threshold, directed=False)
    shares: list[float] = []
    groups = semantic_groups(vectors, threshold, shares.append)
    for row in range(54):
        alone = (component == component[row]).sum() == 1
        expected = [] if alone else np.flatnonzero(component == component[row]).tolist()
        assert np.flatnonzero(groups == groups[row]).tolist() == expected or (alone and groups[row] == 0)
    sizes = np.bincount(groups)[1:].tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert groups[10] == 0
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_few_axes_rule_out_most_pairs_and_no_pair_that_is_alike() -> None:
    random = np.random.default_rng(6)
    spread = random.normal(size=(600, 96)) / np.arange(1, 97)  # few axes hold most of the variance, as of real rows
    vectors = unit(spread[np.r_[:600, :30]] + 0.001 * random.normal(size=(630, 96)))
    numbers = vectors.astype(np.float64)
    cosines = numbers @ numbers.T / np.linalg.norm(numbers, axis=1) / np.linalg.norm(numbers, axis=1)[:, None]
    bounds = _bounds(vectors, 0.99)
    assert bounds is not None
    assert bounds.shape == (630, 32)
    products = bounds.astype(np.float64) @ bounds.T
    assert (products >= cosines - 1e-5).all()
    assert (products >= 0.99).sum() < 2 * (cosines >= 0.99).sum()
    _, component = connected_components(cosines >= 0.99, directed=False)
    groups = semantic_groups(vectors, 0.99)
    assert groups.max() >= 30
    assert all(len(set(component[groups == group])) == 1 for group in range(1, groups.max() + 1))
    assert (groups > 0).sum() == np.isin(component, np.flatnonzero(np.bincount(component) > 1)).sum()


def test_rows_of_one_point_are_one_group_and_a_single_row_is_in_none() -> None:
    assert semantic_groups(unit(np.ones((5, 3))), 1.0).tolist() == [1] * 5
    assert semantic_groups(unit(np.ones((1, 3))), 0.9).tolist() == [0]


def test_a_selection_keeps_the_best_of_each_group_and_texts_are_another_search(
    tmp_path: Path, tiny_base: Path, tiny_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_jobs_inline(monkeypatch)
    talks = [
        example(("user", prompt), ("assistant", "The river is the Thames."))
        for prompt in ("Name a river.", "Name a river!", "Add 3 and 4.", "雷克雅未克是冰岛的首都。")
    ]
    with Store.open(tmp_path / "workspace", "a test") as store:
        score_examples(store, talks, tiny_base, tiny_reference)
        with pytest.raises(NotFound, match=r"4 of 4 rows have no embedding yet.*embed --run tiny$"):
            group_semantic_duplicates(store, "talk", "tiny", 0.9, wait_quietly)
        embed_dataset(store, plan_of_run(store, "tiny", "cpu"), wait_quietly)
        recipe = Selection("tiny", amount=Amount("ratio", 1), near_duplicates=0.93, near_duplicates_by="embeddings")
        with pytest.raises(NotFound, match=r"no search of this run's embeddings at threshold 0.93 yet.*--run RUN$"):
            select_summary(store, recipe)
        group_near_duplicates(store, "talk", 0.93, wait_quietly)
        found = group_semantic_duplicates(store, "talk", "tiny", 0.93, wait_quietly)
        assert (found["groups"], found["grouped_examples"], found["computed"]) == (1, 2, True)
        assert not group_semantic_duplicates(store, "talk", "tiny", 0.93, wait_quietly)["computed"]
        assert near_duplicate_sets(store, "talk")[0].group_count == 0
        key = embeddings_of_run(store.run("tiny")).key
        search = near_duplicate_set(store, "talk", 0.93, key)
        assert group_totals(store, "scored_1", search.near_duplicate_set_id).without_best == 1
        better = store.rows("SELECT row_number FROM scored_1 WHERE row_number < 3 ORDER BY learnability DESC")[0][0]
        kept = sorted(row for row, *_ in store.rows(*kept_rows(store, recipe)))
        assert kept == [better, 3, 4]
        assert Selection.from_fields(recipe.to_fields()) == recipe
        assert "near_duplicates_by" not in Selection("tiny", near_duplicates=0.93).to_fields()
        with pytest.raises(SelectionInvalid, match="Unknown near_duplicates_by 'sound'"):
            Selection("tiny", near_duplicates_by="sound")
        with pytest.raises(NotFound, match="is of the dataset 'talk', not of 'walk'"):
            group_semantic_duplicates(store, "walk", "tiny", 0.93, wait_quietly)
        assert check_workspace(store, lambda _: None) == []
