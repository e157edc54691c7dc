"""The coverage of a selection: what it is by hand, what a random selection reaches, and the sample of many rows."""

from itertools import combinations
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from core.data.errors import StoreUnusable
from core.exporting import export_selection
from core.selection import (
    Amount,
    Pick,
    Selection,
    coverage_fields,
    coverage_sentence,
    select_summary,
    selection_coverage,
)
from core.selection.coverage import random_mean
from core.store import Store
from core.store.embedding_files import Embeddings
from core.system.untrusted_json import read_json_object
from core.workspace.answering import perform
from tests.core.embedded_rows import give_embeddings
from tests.fakes import ScoredRecord, build_scored_store

TWO = Selection("planets", amount=Amount("rows", 2))
"""Rows 1 (of a heap of six) and 11 (of ten on one point)."""


def test_coverage_is_the_mean_cosine_of_all_rows_to_their_nearest_selected_row(embedded: Store) -> None:
    found = selection_coverage(embedded, TWO)
    assert found
    assert (found.selected, found.sampled, found.covered, found.unique_rows, found.seed) == (2, 20, 20, 20, 0)
    assert found.value == pytest.approx((6 + 10 + 4 / sqrt(3)) / 20, abs=1e-3)
    every = selection_coverage(embedded, Selection("planets", amount=Amount("ratio", 1)))
    assert every
    assert every.value == every.random == pytest.approx(1, abs=1e-3)
    nothing = selection_coverage(embedded, Selection("planets", amount=Amount("rows", 0)))
    assert nothing
    assert (nothing.value, nothing.random, nothing.selected) == (None, None, 0)


def test_the_random_coverage_is_the_mean_over_all_selections_of_as_many_rows(embedded: Store) -> None:
    values = np.sort(np.random.default_rng(0).normal(size=9))
    for count in range(1, 10):
        choices = [max(chosen) for chosen in combinations(values, count)]
        assert random_mean(values, count) == pytest.approx(np.mean(choices))
    heaps = np.array([[1, 0, 0.0]] * 6 + [[0, 1, 0]] * 2 + [[0, 0, 1]] * 2 + [[1 / sqrt(3)] * 3] * 10)
    pairs = [(heaps[list(rows)] @ heaps.T).max(0).mean() for rows in combinations(range(20), 2)]
    found = selection_coverage(embedded, TWO)
    assert found
    assert found.random == pytest.approx(np.mean(pairs), abs=1e-3)


def test_many_rows_are_sampled_alike_every_time_and_a_copy_counts_as_its_row(
    embedded: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.selection.coverage.MOST_SAMPLED", 8)
    monkeypatch.setattr("core.selection.coverage.MOST_COVERED", 4)
    half = Selection("planets", amount=Amount("ratio", 0.5))
    found = selection_coverage(embedded, half)
    assert found
    assert (found.sampled, found.covered, found.unique_rows) == (8, 4, 20)
    # The eight lowest digests of seed and id.
    drawn = embedded.rows("SELECT row_number FROM scored_1 ORDER BY md5('0:' || example_id::VARCHAR) LIMIT 8")
    assert found.selected == sum(number in (*range(1, 6), *range(11, 16)) for (number,) in drawn)
    assert selection_coverage(embedded, half) == found


def test_without_the_embedding_of_some_row_there_is_no_coverage(scored_store: Store) -> None:
    assert coverage_fields(scored_store, TWO) is None
    give_embeddings(scored_store, "planets", np.ones((19, 3)))
    assert coverage_fields(scored_store, TWO) is None
    vectors = np.ones((20, 3))
    vectors[2] = 0
    give_embeddings(scored_store, "planets", vectors)
    found = selection_coverage(scored_store, TWO)
    assert found
    assert (found.sampled, found.without_vector) == (19, 1)


def test_a_coverage_that_was_not_there_is_looked_for_again(embedded: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("core.selection.coverage.read_embeddings", _damaged)
        assert selection_coverage(embedded, TWO) is None
    assert selection_coverage(embedded, TWO)


def _damaged(*_: object) -> Embeddings:
    raise StoreUnusable("This file of vectors is damaged.")


def test_copies_of_a_conversation_are_one_row_of_the_sample(tmp_path: Path) -> None:
    records = [ScoredRecord("chat", 2, 1, response=answer) for answer in ("same", "same", "other")]
    with build_scored_store(tmp_path / "copies", records) as store:
        give_embeddings(store, "planets", np.array([[1.0, 0], [1, 0], [0, 1]]))
        both = tuple(
            Pick(row) for (row,) in store.rows("SELECT DISTINCT example_id::VARCHAR FROM scored_1 WHERE row_number = 2")
        )
        copies = Selection("planets", amount=Amount("rows", 2), collapse_duplicates=False, picks=both)
        found = selection_coverage(store, copies)
        assert found
        assert select_summary(store, copies).kept_rows == 2
        assert (found.selected, found.sampled, found.unique_rows, found.value) == (1, 2, 2, 0.5)


def test_select_and_manifests_say_it(embedded: Store, tmp_path: Path) -> None:
    fields = coverage_fields(embedded, TWO)
    assert fields
    answer = perform(embedded, "select", {"name": "two", "recipe": TWO.to_fields()}, tmp_path)
    export_selection(embedded, TWO, tmp_path / "out.jsonl")
    manifest = read_json_object(tmp_path / "out.jsonl.manifest.json")
    assert answer["coverage"] == manifest["coverage"] == fields
    said = coverage_sentence(fields)
    assert said.startswith("Coverage 0.915, as many random rows 0.")
    assert said.endswith("(2 of 20 sampled rows are selected).")
    assert (
        coverage_sentence({**fields, "value": None, "selected": 0})
        == "Coverage: none, 0 of 20 sampled rows are selected."
    )
