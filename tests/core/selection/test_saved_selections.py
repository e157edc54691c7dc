"""Saved selections: listed, renamed, duplicated, removed and put back, and compared row by row."""

from dataclasses import replace

import pytest

from core.data.errors import NameTaken, NotFound, SelectionInvalid
from core.selection import Amount, Selection, compared_rows, save_selection, saved_selection, saved_selection_names
from core.selection.saved import (
    duplicate_selection,
    remove_selection,
    rename_selection,
    restore_selection,
    saved_selections,
)
from core.store import Store
from tests.fakes import ScoredRecord, add_scored_records
from tests.two_runs import TwiceScored, import_rows, score_rows

HALF = Selection("planets", amount=Amount("ratio", 0.5))


def test_the_list_says_what_each_keeps_last_saved_first(scored_store: Store) -> None:
    save_selection(scored_store, "half", HALF)
    save_selection(scored_store, "two", Selection("planets", amount=Amount("rows", 2)))
    found = saved_selections(scored_store)
    assert found[["name", "run", "kept_rows", "kept_tokens"]].values.tolist() == [
        ["two", "planets", 2, 30],
        ["half", "planets", 10, 150],
    ]
    assert found["saved_at"].is_monotonic_decreasing


def test_a_renamed_selection_keeps_its_recipe(scored_store: Store) -> None:
    save_selection(scored_store, "half", HALF)
    assert rename_selection(scored_store, "half", " best half ") == "best half"
    assert saved_selection(scored_store, "best half") == HALF
    assert saved_selection_names(scored_store) == ["best half"]


def test_a_name_that_is_taken_or_empty_is_refused(scored_store: Store) -> None:
    save_selection(scored_store, "half", HALF)
    save_selection(scored_store, "other", replace(HALF, seed=1))
    with pytest.raises(NameTaken):
        rename_selection(scored_store, "half", "other")
    with pytest.raises(SelectionInvalid, match="no name"):
        rename_selection(scored_store, "half", "  ")
    with pytest.raises(NotFound):
        rename_selection(scored_store, "gone", "new")


def test_a_duplicate_gets_a_name_of_its_own_and_the_same_recipe(scored_store: Store) -> None:
    save_selection(scored_store, "half", HALF)
    assert duplicate_selection(scored_store, "half") == "half copy"
    assert duplicate_selection(scored_store, "half") == "half copy 2"
    assert saved_selection(scored_store, "half copy 2") == HALF


def test_a_removed_selection_comes_back_as_it_was_even_where_its_run_is_gone(scored_store: Store) -> None:
    save_selection(scored_store, "half", HALF)
    removed = remove_selection(scored_store, "half")
    assert saved_selection_names(scored_store) == []
    scored_store.remove_dataset("space")
    restore_selection(scored_store, removed)
    assert saved_selection(scored_store, "half") == HALF
    assert saved_selections(scored_store)["kept_rows"].tolist() == [10]


def test_a_removed_selection_does_not_overwrite_another_of_its_name(scored_store: Store) -> None:
    save_selection(scored_store, "half", HALF)
    removed = remove_selection(scored_store, "half")
    save_selection(scored_store, "half", replace(HALF, seed=1))
    with pytest.raises(NameTaken):
        restore_selection(scored_store, removed)


def test_rows_of_one_only_say_why_the_other_leaves_them_out(scored_store: Store) -> None:
    fewer = replace(HALF, domain_amounts={"math": Amount("rows", 2)})
    found = compared_rows(scored_store, HALF, fewer, "only_first", 1, 10)
    assert found["row_number"].tolist() == [13, 14, 15]
    assert set(found["second_outcome"]) == {"below the cut"}
    assert found["response"].tolist() == ["answer 13", "answer 14", "answer 15"]
    assert compared_rows(scored_store, HALF, fewer, "only_second", 1, 10).empty


def test_compared_rows_are_paged_best_first(scored_store: Store) -> None:
    pages = [compared_rows(scored_store, HALF, HALF, "both", page, 4)["row_number"].tolist() for page in (1, 2, 3)]
    # Math's learnability is 0.05 above chat's, row by row.
    assert pages == [[11, 1, 12, 2], [13, 3, 14, 4], [15, 5]]


def test_selections_of_two_runs_of_a_dataset_are_compared_with_both_scores(scored_store: Store) -> None:
    rows = [TwiceScored("a", 10.0, 1.0 + number, 9.0 - number, f"answer {number}") for number in range(8)]
    import_rows(scored_store, rows)
    for run in ("one", "two"):
        score_rows(scored_store, rows, run, run)
    first, second = (Selection(run, amount=Amount("rows", 2)) for run in ("one", "two"))
    found = compared_rows(scored_store, first, second, "only_second", 1, 10)
    assert found["row_number"].tolist() == [8, 7]
    assert found["first_value"].tolist() == pytest.approx([0.2, 0.3])
    assert found["second_value"].tolist() == pytest.approx([0.8, 0.7])


def test_a_row_that_came_after_one_of_the_runs_has_no_outcome_in_it(scored_store: Store) -> None:
    old, new = (TwiceScored("a", 10.0, 1.0, 1.0, answer) for answer in ("old", "new"))
    import_rows(scored_store, [old])
    score_rows(scored_store, [old], "one", "one")
    import_rows(scored_store, [new], source="more.jsonl")
    score_rows(scored_store, [old, new], "two", "two")
    all_of = [Selection(run, amount=Amount("ratio", 1.0)) for run in ("two", "one")]
    found = compared_rows(scored_store, *all_of, "only_first", 1, 10)
    assert found["response"].tolist() == ["new"]
    assert found["second_outcome"].isna().all()


def test_an_unknown_part_or_two_datasets_are_refused(scored_store: Store) -> None:
    with pytest.raises(SelectionInvalid, match="Unknown part"):
        compared_rows(scored_store, HALF, HALF, "neither", 1, 10)
    add_scored_records(scored_store, [ScoredRecord("chat", 1.0, 0.5)], run="moons", dataset="moons", source="m.jsonl")
    with pytest.raises(SelectionInvalid, match="space and moons"):
        compared_rows(scored_store, HALF, Selection("moons"), "both", 1, 10)
