"""Selecting: which rows are kept, why each of the others is not, and what it adds up to."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import NameTaken, NotFound, SelectionInvalid
from core.filters import Range, RowFilter
from core.selection import (
    Amount,
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
    assert summary.notices == ["math: 5,000 tokens were asked for and 200 can be kept, so all of that is."]


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
