"""Selecting: which rows are kept, why each of the others is not, and what it adds up to."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import NameTaken, NotFound, SelectionInvalid
from core.data.filters import Range, RowFilter
from core.selection import (
    Amount,
    Pick,
    Selection,
    kept_rows,
    matched_control,
    near_the_cut,
    overlap,
    row_decisions,
    save_selection,
    saved_selection,
    saved_selection_names,
    select_summary,
)
from core.selection.recipe import ORDERS
from core.store import Store
from core.store.near_duplicates import save_near_duplicates
from tests.fakes import ScoredRecord, add_scored_records, build_scored_store

HALF = Selection("planets", amount=Amount("ratio", 0.5))


def kept(store: Store, selection: Selection) -> list[int]:
    return [row[0] for row in store.rows(*kept_rows(store, selection))]


def outcomes(store: Store, selection: Selection) -> dict[int, str]:
    sql, values = row_decisions(store, selection)
    found = store.rows(f"SELECT row_number, outcome FROM ({sql})", values)
    assert len(found) == len({row for row, _ in found}), "a row has more than one outcome"
    return dict(found)


def test_each_domain_keeps_its_own_top_share_in_file_order(scored_store: Store) -> None:
    assert kept(scored_store, Selection("planets", amount=Amount("ratio", 0.2))) == [1, 2, 11, 12]


def test_pooled_ranking_lets_one_domain_crowd_out_another(scored_store: Store) -> None:
    # Math's learnability is 0.05 above chat's, row by row: of the best three rows it has two.
    assert kept(scored_store, Selection("planets", scope="pooled", amount=Amount("rows", 3))) == [1, 11, 12]


def test_a_token_budget_keeps_the_longest_prefix_that_fits(scored_store: Store) -> None:
    own = {"chat": Amount("tokens", 39), "math": Amount("tokens", 40)}
    summary = select_summary(scored_store, Selection("planets", domain_amounts=own))
    assert [(pool.kept_rows, pool.kept_tokens, pool.capped) for pool in summary.pools] == [
        (3, 30, False),
        (2, 40, False),
    ]


def test_a_row_that_does_not_fit_ends_the_prefix_even_where_a_later_one_would(tmp_path: Path) -> None:
    rows = [ScoredRecord("a", 1.0, 0.1, 10), ScoredRecord("a", 1.0, 0.2, 100), ScoredRecord("a", 1.0, 0.3, 10)]
    with build_scored_store(tmp_path, rows) as store:
        assert kept(store, Selection("planets", amount=Amount("tokens", 50))) == [1]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("highest", [1, 11]), ("lowest", [10, 20]), ("highest_base_loss", [1, 11])],
)
def test_orders_rank_as_they_say(scored_store: Store, order: str, expected: list[int]) -> None:
    assert kept(scored_store, Selection("planets", order=order, amount=Amount("ratio", 0.1))) == expected


def test_longest_prefers_tokens_over_score(scored_store: Store) -> None:
    found = kept(scored_store, Selection("planets", order="longest", scope="pooled", amount=Amount("rows", 10)))
    assert found == list(range(11, 21))


def test_random_is_drawn_by_md5_of_seed_and_example_id(scored_store: Store) -> None:
    ids = scored_store.rows("SELECT row_number, example_id::VARCHAR FROM scored_1")
    for seed in (0, 1):
        expected = sorted(ids, key=lambda row: hashlib.md5(f"{seed}:{row[1]}".encode()).hexdigest())[:5]
        selection = Selection("planets", order="random", scope="pooled", amount=Amount("rows", 5), seed=seed)
        assert kept(scored_store, selection) == sorted(row for row, _ in expected)


def test_controls_draw_only_from_rows_that_the_score_could_rank(tmp_path: Path) -> None:
    rows = [ScoredRecord("a", 1.0, None, 500), ScoredRecord("a", 1.0, 0.5), ScoredRecord("a", 1.0, 0.2)]
    with build_scored_store(tmp_path, rows) as store:
        for order in ORDERS:
            assert kept(store, Selection("planets", order=order, amount=Amount("ratio", 1.0))) == [2, 3]


def test_ties_are_broken_by_example_id(tmp_path: Path) -> None:
    with build_scored_store(tmp_path, [ScoredRecord("a", 1.0, 0.5) for _ in range(20)]) as store:
        ids = store.rows("SELECT row_number FROM scored_1 ORDER BY example_id LIMIT 7")
        assert kept(store, Selection("planets", amount=Amount("rows", 7))) == sorted(row for (row,) in ids)


def test_every_row_has_exactly_one_outcome_and_the_first_reason_counts(tmp_path: Path) -> None:
    rows = [
        ScoredRecord("a", 1.0, 0.1),
        ScoredRecord("a", 1.0, 0.9),
        ScoredRecord("a", 2.0, 0.2, response="twin"),
        ScoredRecord("a", 2.0, 0.2, response="twin"),
        ScoredRecord("a", 1.0, 0.5, truncated=True),
        ScoredRecord("a", 1.0, 0.5, token_count=900, truncated=True),
        ScoredRecord("a", None, None, reason="prompt too long"),
        ScoredRecord("a", 1.0, float("nan")),
        ScoredRecord("a", 0.0, 0.5),
        ScoredRecord("a", 1.0, None),
    ]
    wanted = RowFilter(ranges=(Range("token_count", None, 100),), without_flags=("truncated",))
    with build_scored_store(tmp_path, rows) as store:
        found = outcomes(store, Selection("planets", amount=Amount("rows", 2), filter=wanted))
        summary = select_summary(store, Selection("planets", amount=Amount("rows", 2), filter=wanted))
    assert found == {
        1: "kept",
        2: "below the cut",
        3: "kept",
        4: "duplicate of an eligible row",
        5: "flag: truncated",
        6: "filtered: token_count",
        7: "no score: prompt too long",
        8: "no score: non_finite",
        9: "no score: zero_base_loss",
        10: "no score: not_scored",
    }
    assert dict(summary.outcomes[["outcome", "rows"]].values.tolist()) == Counter(found.values())


def test_duplicates_are_kept_where_they_are_not_collapsed(tmp_path: Path) -> None:
    rows = [ScoredRecord("a", 1.0, 0.1, response="twin"), ScoredRecord("a", 1.0, 0.1, response="twin")]
    with build_scored_store(tmp_path, rows) as store:
        assert kept(store, Selection("planets", amount=Amount("ratio", 1.0))) == [1]
        assert kept(store, Selection("planets", amount=Amount("ratio", 1.0), collapse_duplicates=False)) == [1, 2]


def test_a_duplicate_stands_in_where_the_first_is_filtered_out(tmp_path: Path) -> None:
    rows = [ScoredRecord(domain, 1.0, 0.1, response="twin") for domain in ("a", "b", "b")]
    with build_scored_store(tmp_path, rows) as store:
        found = outcomes(store, Selection("planets", amount=Amount("rows", 3), filter=RowFilter(domains=("b",))))
    assert found == {1: "filtered: domain", 2: "kept", 3: "duplicate of an eligible row"}


def test_asking_for_more_than_is_eligible_keeps_all_of_it_and_says_so(scored_store: Store) -> None:
    own = {"math": Amount("tokens", 5000)}
    summary = select_summary(scored_store, Selection("planets", amount=Amount("ratio", 0.1), domain_amounts=own))
    chat, math = summary.pools
    assert (chat.capped, math.capped) == (False, True)
    assert (math.wanted, math.available, math.kept_tokens) == (5000, 200, 200)
    assert summary.notices == ["math: 5,000 tokens requested, 200 eligible. All eligible rows are selected."]


def test_a_token_budget_that_no_row_fits_exactly_is_not_capped(scored_store: Store) -> None:
    summary = select_summary(scored_store, Selection("planets", scope="pooled", amount=Amount("tokens", 299)))
    assert not summary.notices


def test_the_cut_is_the_score_of_the_last_kept_row(scored_store: Store) -> None:
    summary = select_summary(scored_store, HALF)
    assert [pool.cut_value for pool in summary.pools] == pytest.approx([0.5, 0.55])
    assert [pool.cut_value for pool in select_summary(scored_store, replace(HALF, order="random")).pools] == [None] * 2
    nothing = select_summary(scored_store, Selection("planets", amount=Amount("rows", 0)))
    assert [pool.cut_value for pool in nothing.pools] == [None, None]


def test_the_summary_counts_rows_and_tokens_kept_and_dropped(scored_store: Store) -> None:
    summary = select_summary(scored_store, Selection("planets", amount=Amount("ratio", 0.2)))
    assert (summary.kept_rows, summary.kept_tokens) == (4, 60)
    assert (summary.dropped_rows, summary.dropped_tokens) == (16, 240)
    assert summary.domains.values.tolist() == [["chat", 10, 100, 2, 20], ["math", 10, 200, 2, 40]]


def test_near_the_cut_shows_the_last_rows_inside_and_the_first_outside(scored_store: Store) -> None:
    found = near_the_cut(scored_store, HALF, "math", 2)
    assert found["row_number"].tolist() == [14, 15, 16, 17]
    assert found["outcome"].tolist() == ["kept", "kept", "below the cut", "below the cut"]
    assert found["response"].tolist() == [f"answer {n}" for n in (14, 15, 16, 17)]


def test_overlap_counts_rows_of_both_and_of_one_only(scored_store: Store) -> None:
    found = overlap(scored_store, HALF, replace(HALF, domain_amounts={"math": Amount("rows", 2)}))
    assert found.values.tolist() == [["chat", 5, 0, 0, 1.0], ["math", 2, 3, 0, 0.4], ["all", 7, 3, 0, 0.7]]


def test_selections_of_different_datasets_are_not_compared(scored_store: Store) -> None:
    add_scored_records(scored_store, [ScoredRecord("chat", 1.0, 0.5)], run="moons", dataset="moons", source="m.jsonl")
    with pytest.raises(SelectionInvalid, match="space and moons"):
        overlap(scored_store, HALF, Selection("moons"))


def test_a_control_gets_as_many_tokens_of_each_domain_as_the_selection_keeps(scored_store: Store) -> None:
    summary = select_summary(scored_store, HALF)
    control = select_summary(scored_store, matched_control(HALF, summary, "random"))
    assert control.domains["kept_tokens"].tolist() == summary.domains["kept_tokens"].tolist()


def test_a_saved_recipe_comes_back_and_its_name_is_not_taken_twice(scored_store: Store) -> None:
    assert save_selection(scored_store, "half", HALF).kept_rows == 10
    assert saved_selection(scored_store, "half") == HALF
    with pytest.raises(NameTaken):
        save_selection(scored_store, "half", replace(HALF, seed=1))
    save_selection(scored_store, "half", replace(HALF, seed=1), replace_existing=True)
    assert saved_selection(scored_store, "half").seed == 1
    assert saved_selection_names(scored_store) == ["half"]


def test_a_run_that_is_not_there_is_named(scored_store: Store) -> None:
    with pytest.raises(NotFound, match="'comets'"):
        select_summary(scored_store, Selection("comets"))


# Hand picks


def example_of(store: Store, row: int) -> str:
    table = store.run("planets")["table"]
    return str(store.rows(f"SELECT example_id FROM {table} WHERE row_number = ?", [row])[0][0])


def test_a_row_kept_by_hand_takes_the_place_of_the_last_one(scored_store: Store) -> None:
    top = Selection("planets", amount=Amount("ratio", 0.2))
    assert kept(scored_store, top) == [1, 2, 11, 12]
    picked = replace(top, picks=(Pick(example_of(scored_store, 9), True, "a rare one"),))
    assert kept(scored_store, picked) == [1, 9, 11, 12]
    summary = select_summary(scored_store, picked)
    assert (summary.kept_rows, summary.picked_rows, summary.lost_picks) == (4, 1, 0)


def test_a_row_kept_by_hand_needs_neither_filter_nor_amount(scored_store: Store) -> None:
    only = RowFilter(("math",))
    picks = (Pick(example_of(scored_store, 9), True),)
    assert kept(scored_store, Selection("planets", amount=Amount("ratio", 0.0), filter=only, picks=picks)) == [9]


def test_a_cut_is_that_of_the_score_and_not_of_a_hand_pick(scored_store: Store) -> None:
    top = Selection("planets", amount=Amount("rows", 2))
    picked = replace(top, picks=(Pick(example_of(scored_store, 9), True),))
    chat = select_summary(scored_store, picked).pools[0]
    assert chat.pool == "chat"
    assert chat.kept_rows == 1
    assert chat.cut_value is None


def test_a_row_left_out_by_hand_gives_its_place_to_the_next(scored_store: Store) -> None:
    picked = Selection(
        "planets", amount=Amount("ratio", 0.2), picks=(Pick(example_of(scored_store, 1), False, "broken"),)
    )
    assert kept(scored_store, picked) == [2, 3, 11, 12]
    assert outcomes(scored_store, picked)[1] == "left out by hand"


def test_a_pick_of_a_row_that_is_not_there_is_said(scored_store: Store) -> None:
    picks = (Pick("11111111-1111-1111-1111-111111111111", True),)
    summary = select_summary(scored_store, Selection("planets", picks=picks))
    assert summary.notices == ["Hand picks of rows that are not in this dataset: 1."]


def test_a_control_keeps_what_was_left_out_by_hand_out_and_takes_no_pick(scored_store: Store) -> None:
    inside, outside = Pick(example_of(scored_store, 9), True), Pick(example_of(scored_store, 1), False)
    chosen = Selection("planets", amount=Amount("ratio", 0.2), picks=(inside, outside))
    control = matched_control(chosen, select_summary(scored_store, chosen), "lowest")
    assert control.picks == (outside,)


# Weights


def test_weights_split_a_total_of_rows(scored_store: Store) -> None:
    mixture = Selection("planets", amount=Amount("rows", 8), weights={"math": 3, "chat": 1})
    assert kept(scored_store, mixture) == [1, 2, 11, 12, 13, 14, 15, 16]


def test_a_ratio_with_weights_is_a_share_of_all_rows(scored_store: Store) -> None:
    mixture = Selection("planets", amount=Amount("ratio", 0.2), weights={"math": 1})
    assert kept(scored_store, mixture) == [11, 12, 13, 14]


def test_a_domain_that_cannot_fill_its_share_is_named(scored_store: Store) -> None:
    summary = select_summary(
        scored_store, Selection("planets", amount=Amount("rows", 20), weights={"math": 3, "chat": 1})
    )
    assert summary.notices == ["math: 15 rows requested, 10 eligible. All eligible rows are selected."]


# Near duplicates


def test_only_the_best_of_near_duplicates_is_kept(scored_store: Store) -> None:
    group = pa.table({"example_id": [example_of(scored_store, row) for row in (2, 1, 3)], "group_number": [7, 7, 7]})
    save_near_duplicates(scored_store, "space", 0.8, 20, group)
    top = Selection("planets", amount=Amount("ratio", 0.2), near_duplicates=0.8)
    assert kept(scored_store, top) == [1, 4, 11, 12]
    assert outcomes(scored_store, top)[2] == "near duplicate of an eligible row that ranks higher"
    worst = replace(top, order="lowest", amount=Amount("ratio", 1.0))
    assert set(range(1, 11)) - set(kept(scored_store, worst)) == {1, 2}
    picked = replace(top, picks=(Pick(example_of(scored_store, 2), True),))
    assert kept(scored_store, picked) == [2, 4, 11, 12]


def test_a_search_for_near_duplicates_that_rows_came_in_after_is_said(scored_store: Store) -> None:
    group = pa.table({"example_id": [example_of(scored_store, row) for row in (2, 1)], "group_number": [7, 7]})
    recipe = Selection("planets", near_duplicates=0.8)
    save_near_duplicates(scored_store, "space", 0.8, 20, group)
    assert select_summary(scored_store, recipe).notices == []
    save_near_duplicates(scored_store, "space", 0.8, 19, group)
    assert "Search again to include them" in select_summary(scored_store, recipe).notices[0]


def test_near_duplicates_that_were_never_searched_for_are_asked_for(scored_store: Store) -> None:
    with pytest.raises(NotFound, match="near"):
        select_summary(scored_store, Selection("planets", near_duplicates=0.8))
