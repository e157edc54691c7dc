"""Why one row is in or out: the sentence names the rank, the cut, or the reason."""

from dataclasses import replace

import pytest

from core.data.errors import NotFound
from core.data.filters import RowFilter
from core.selection import Amount, Pick, Selection, row_outcome
from core.store import Store

TOP = Selection("planets", amount=Amount("ratio", 0.2))


def said(store: Store, selection: Selection, row: int) -> str:
    return row_outcome(store, selection, row).sentence(selection)


def test_a_kept_row_is_told_its_rank_and_the_cut(scored_store: Store) -> None:
    table = scored_store.run("planets")["table"]
    cut = scored_store.rows(f"SELECT learnability FROM {table} WHERE row_number = 2")[0][0]
    assert said(scored_store, TOP, 1) == (
        f"Selected: rank 1 of 10 eligible rows in chat; 2 are selected; the last has learnability {cut:.4g}."
    )
    assert said(scored_store, TOP, 3).startswith(
        "Not selected (below the cut): rank 3 of 10 eligible rows in chat; 2 are selected"
    )


def test_pooled_ranks_are_of_all_rows(scored_store: Store) -> None:
    pooled = replace(TOP, scope="pooled")
    assert "of 20 eligible rows of all domains; 4 are selected" in said(scored_store, pooled, 11)


def test_an_order_that_is_not_the_score_names_no_cut(scored_store: Store) -> None:
    assert said(scored_store, replace(TOP, order="longest"), 1).endswith("2 are selected.")


def test_a_row_that_a_filter_shuts_out_is_told_which(scored_store: Store) -> None:
    math_only = replace(TOP, filter=RowFilter(("math",)))
    assert said(scored_store, math_only, 1) == "Not selected (filtered: domain)."


def test_hand_picks_are_named(scored_store: Store) -> None:
    table = scored_store.run("planets")["table"]
    ids = dict(scored_store.rows(f"SELECT row_number, example_id::VARCHAR FROM {table}"))
    picked = replace(TOP, picks=(Pick(ids[9], True), Pick(ids[1], False)))
    assert said(scored_store, picked, 9) == "Selected by hand."
    assert said(scored_store, picked, 1) == "Not selected (left out by hand)."


def test_a_row_that_is_not_there_is_said(scored_store: Store) -> None:
    with pytest.raises(NotFound, match=r"has no row 99\."):
        row_outcome(scored_store, TOP, 99)
