"""Ranking by a score of preference pairs selects whole pairs; every pair that is left out has its reason."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from core.data.errors import SelectionInvalid
from core.data.filters import Range, RowFilter
from core.exporting import CONTROLS, control_selection
from core.selection import Amount, Selection, kept_rows, row_decisions, row_outcome, scored_run, select_summary
from core.selection.cuts import amount_at_cut
from core.selection.outcome_rows import outcomes_of
from core.selection.recipe import Pick, Spread
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

PAIRS = 12


def pair(domain: str, gain: float, tokens: int = 10, text: str = "") -> list[ScoredRecord]:
    """A pair whose margin is `gain`: the chosen row gains it, and the rejected one, of twice the length, nothing."""
    return [
        ScoredRecord(domain, 50.0, 50.0 - gain / tokens, tokens, text and f"good {text}", is_chosen=True),
        ScoredRecord(domain, 1.0, 1.0, 2 * tokens, text and f"bad {text}"),
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Rows 1 to 24 are pairs with the margins 1 to 12, six of each domain; row 25 is in none."""
    records = [row for n in range(PAIRS) for row in pair("chat" if n % 2 else "math", n + 1.0)]
    with build_scored_store(tmp_path, [*records, ScoredRecord("chat", 2.0, 1.0)]) as opened:
        yield opened


BY_MARGIN = Selection("planets", score="preference_margin", scope="pooled", amount=Amount("rows", 4))


def kept(store: Store, selection: Selection) -> list[int]:
    """The selected rows, as decided row by row, by the ranking, and one by one, which must all agree."""
    sql, values = kept_rows(store, selection)
    numbers = [row[0] for row in store.rows(f"SELECT row_number FROM ({sql})", values)]
    assert select_summary(store, selection).kept_rows == len(numbers)
    everything = range(1, 2 * PAIRS + 2)
    one_by_one = outcomes_of(store, selection, scored_run(store, "planets"), everything)
    assert [number for number in everything if one_by_one[number].is_kept] == numbers
    return numbers


def test_both_ends_are_offered_and_an_odd_number_of_rows_is_rounded_down(store: Store) -> None:
    assert kept(store, BY_MARGIN) == [21, 22, 23, 24]
    assert kept(store, replace(BY_MARGIN, amount=Amount("rows", 5))) == [21, 22, 23, 24]
    assert kept(store, replace(BY_MARGIN, amount=Amount("rows", 1))) == []
    assert kept(store, replace(BY_MARGIN, order="lowest")) == [1, 2, 3, 4]
    assert kept(store, replace(BY_MARGIN, scope="domain")) == [21, 22, 23, 24]


def test_tokens_are_counted_of_both_rows(store: Store) -> None:
    # A pair has 10 + 20 tokens; 85 hold the first row of a third pair, not both.
    assert kept(store, replace(BY_MARGIN, amount=Amount("tokens", 85))) == [21, 22, 23, 24]
    assert len(kept(store, replace(BY_MARGIN, amount=Amount("tokens", 90)))) == 6


@pytest.mark.parametrize("order", ["random", "longest", "highest_base_loss"])
def test_every_order_keeps_pairs_together(store: Store, order: str) -> None:
    numbers = kept(store, replace(BY_MARGIN, order=order, seed=3))
    assert [number % 2 for number in numbers] == [1, 0, 1, 0]
    assert numbers[1] - numbers[0] == numbers[3] - numbers[2] == 1


@pytest.mark.parametrize("score", ["preference_margin", "learnability"])
@pytest.mark.parametrize("scope", ["pooled", "domain"])
def test_random_subsets_of_one_seed_are_nested(store: Store, score: str, scope: str) -> None:
    shares = [
        set(kept(store, Selection("planets", score, "random", scope, Amount("ratio", share), seed=7)))
        for share in (0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    assert all(smaller < larger for smaller, larger in pairwise(shares))
    assert len(shares[-1]) == 2 * PAIRS + (score == "learnability")
    other = kept(store, Selection("planets", score, "random", scope, Amount("ratio", 0.4), seed=8))
    assert set(other) != shares[1]


def test_a_pair_goes_as_a_whole_and_its_reason_is_said(store: Store) -> None:
    short = RowFilter(ranges=(Range("token_count", 0, 15),))
    assert kept(store, replace(BY_MARGIN, filter=short)) == []
    found = select_summary(store, replace(BY_MARGIN, filter=short)).outcomes.groupby("outcome")["rows"].sum()
    assert found["the other row of its preference pair is left out"] == PAIRS
    assert found["no score: not in a preference pair"] == 1
    assert "not in a preference pair" in row_outcome(store, BY_MARGIN, 25).sentence(BY_MARGIN)


def test_picking_one_row_by_hand_picks_its_pair(store: Store) -> None:
    ids = dict(store.rows(f"SELECT row_number, example_id::VARCHAR FROM {store.run('planets')['table']}"))
    keep = replace(BY_MARGIN, picks=(Pick(ids[2]), Pick(ids[25])))
    assert kept(store, keep) == [1, 2, 23, 24]
    assert kept(store, replace(BY_MARGIN, picks=(Pick(ids[24], keep=False),))) == [19, 20, 21, 22]


def test_a_cut_by_score_selects_the_pairs_beyond_it(store: Store) -> None:
    amount = amount_at_cut(store, BY_MARGIN, scored_run(store, "planets"), "", 9.0)
    assert kept(store, replace(BY_MARGIN, amount=amount)) == list(range(17, 25))


def test_only_a_pair_of_two_equal_rows_is_a_duplicate(tmp_path: Path) -> None:
    records = [*pair("chat", 1, text="a"), *pair("chat", 1, text="a"), *pair("chat", 1, text="b")]
    records[5] = replace(records[5], response="bad a")
    with build_scored_store(tmp_path, records) as store:
        sql, values = row_decisions(store, replace(BY_MARGIN, amount=Amount("ratio", 1)))
        found = store.rows(f"SELECT row_number, outcome FROM ({sql}) ORDER BY 1", values)
    assert [number for number, outcome in found if outcome == "kept"] == [1, 2, 5, 6]
    assert {outcome for _, outcome in found[2:4]} == {"duplicate of an eligible row"}


def test_a_control_of_pairs_comes_as_near_to_the_tokens_as_whole_pairs_can(store: Store) -> None:
    control = control_selection(store, BY_MARGIN, select_summary(store, BY_MARGIN), CONTROLS["random"], seed=1)
    assert select_summary(store, control).kept_tokens == 60
    assert len(kept(store, control)) == 4


def test_what_would_take_pairs_apart_is_refused() -> None:
    for change in ({"near_duplicates": 0.5}, {"length_bands": 4}, {"spread": Spread()}):
        with pytest.raises(SelectionInvalid, match="would take preference pairs apart"):
            replace(BY_MARGIN, **change)
    with pytest.raises(SelectionInvalid, match="cannot be added"):
        replace(BY_MARGIN, added={"learnability": 1})
    assert replace(BY_MARGIN, added={"dpo_loss": -1}).keeps_pairs


def test_a_dataset_without_pairs_says_so(tmp_path: Path) -> None:
    with (
        build_scored_store(tmp_path, [ScoredRecord("chat", 2.0, 1.0)]) as store,
        pytest.raises(SelectionInvalid, match=r"needs preference pairs.*Import a file of pairs"),
    ):
        select_summary(store, BY_MARGIN)
