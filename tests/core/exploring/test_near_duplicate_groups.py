"""Groups of near duplicates in a run: counted, ordered and opened in SQL, the best member first."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from core.data.errors import NotFound, SelectionInvalid
from core.data.examples import Example, Message
from core.exploring.near_duplicate_groups import (
    GROUP_ORDERS,
    GroupTotals,
    group_members,
    group_totals,
    groups_page,
    similarities,
)
from core.store import Store
from core.store.near_duplicates import GROUPS_SCHEMA, save_near_duplicates
from tests.core.scored_rows import ScoredRow, add_scored_run

# Base sums are 10 nats, so a reference sum of 10 - x gives a learnability of x / 10.
ROWS = [
    ScoredRow("sea", 10.0, 6.0, response="ships one"),
    ScoredRow("sea", 10.0, 4.0, response="ships two"),
    ScoredRow("port", 10.0, None, response="ships three"),
    ScoredRow("sea", 10.0, 4.0, response="ships two"),
    ScoredRow("port", 10.0, 1.0, response="otters one"),
    ScoredRow("port", 10.0, 9.0, response="otters two"),
    ScoredRow("port", 10.0, 5.0, response="tea"),
]
GROUPS = {"ships one": 1, "ships two": 1, "ships three": 1, "otters one": 2, "otters two": 2}


def conversation(response: str) -> Example:
    return Example((Message("user", "What is it?"), Message("assistant", response)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "a test") as opened:
        add_scored_run(opened, ROWS)
        rows = [{"example_id": str(conversation(text).example_id), "group_number": n} for text, n in GROUPS.items()]
        save_near_duplicates(opened, "data", 0.8, 6, pa.Table.from_pylist(rows, GROUPS_SCHEMA))
        yield opened


def test_totals_count_rows_and_what_one_a_group_leaves_out(store: Store) -> None:
    totals = group_totals(store, "scored_1", 1)
    assert totals == GroupTotals(groups=2, rows=6, largest=4)
    assert totals.without_best == 4
    assert group_totals(store, "scored_1", 99) == GroupTotals(0, 0, 0)


def test_a_page_of_groups_has_their_size_domains_and_scores(store: Store) -> None:
    ships, otters = groups_page(store, "scored_1", 1, "learnability", "rows", 1, 10).to_dict("records")
    assert (ships["group_number"], ships["rows"], ships["examples"], ships["domains"]) == (1, 4, 3, "port, sea")
    assert (ships["best"], ships["spread"]) == (pytest.approx(0.6), pytest.approx(0.2))
    assert ships["text"] == "What is it? → ships two"
    assert (otters["group_number"], otters["rows"], otters["best"]) == (2, 2, pytest.approx(0.9))
    assert otters["text"] == "What is it? → otters one"


@pytest.mark.parametrize(("order", "first"), [("rows", 1), ("spread", 2), ("best", 2)])
def test_groups_are_ordered_and_paged(store: Store, order: str, first: int) -> None:
    pages = [groups_page(store, "scored_1", 1, "learnability", order, page, 1) for page in (1, 2, 3)]
    assert [page["group_number"].tolist() for page in pages] == [[first], [3 - first], []]


def test_every_order_has_a_name_and_others_are_refused(store: Store) -> None:
    assert all(GROUP_ORDERS.values())
    with pytest.raises(SelectionInvalid, match="Unknown order"):
        groups_page(store, "scored_1", 1, "learnability", "rows; DROP TABLE run", 1, 10)
    with pytest.raises(SelectionInvalid, match="Unknown score"):
        groups_page(store, "scored_1", 1, "1; DROP TABLE run", "rows", 1, 10)


def test_members_come_best_first_with_the_unscored_last_and_copies_once(store: Store) -> None:
    members, total = group_members(store, "scored_1", 1, 1, "learnability", 10)
    assert total == 3
    assert [(member["row_number"], member["copies"]) for member in members] == [(2, 2), (1, 1), (3, 1)]
    assert members[2]["score"] is None
    assert members[0]["example"] == conversation("ships two")
    later, same_total = group_members(store, "scored_1", 1, 1, "learnability", 2, offset=1)
    assert [member["row_number"] for member in later] == [1, 3]
    assert same_total == 3


def test_the_best_member_depends_on_the_score(store: Store) -> None:
    (best,), _ = group_members(store, "scored_1", 1, 2, "reference_loss", 1)
    assert best["row_number"] == 6


def test_a_group_that_is_not_there_is_one_sentence(store: Store) -> None:
    with pytest.raises(NotFound, match="There is no group 7"):
        group_members(store, "scored_1", 1, 7, "learnability", 1)


def test_similarity_is_the_one_that_groups_are_made_by() -> None:
    first, same, other = conversation("forty ships"), conversation("Forty  SHIPS"), conversation("tea")
    # Of five runs of three words in either, both have "what is it" and "is it ?".
    assert similarities(first, [same, other, first]) == [1, pytest.approx(2 / 5), 1]
    assert similarities(first, []) == []
