"""Browsing: pages in SQL that lose and repeat no row, and one example with everything known of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.errors import NotFound, SelectionInvalid
from core.data.filters import EVERYTHING, Range, RowFilter
from core.data.text_search import TextSearch
from core.exploring.browsing import example, examples_page
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "a test") as opened:
        yield opened


def test_pages_hold_every_row_once_even_when_all_scores_tie(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 10.0, 5.0, response=f"r{n % 9}") for n in range(25)])
    seen: list[int] = []
    for page in (1, 2, 3):
        rows, total = examples_page(store, table, EVERYTHING, "learnability", True, page, 10)
        assert total == 25
        seen += rows["row_number"].tolist()
    assert sorted(seen) == list(range(1, 26))


def test_rows_without_a_score_come_last_in_both_directions(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("a", 10.0, 8.0), ScoredRow("a", 10.0, None), ScoredRow("a", 10.0, 2.0)])
    for descending, expected in ((True, [3, 1, 2]), (False, [1, 3, 2])):
        rows, _ = examples_page(store, table, EVERYTHING, "learnability", descending, 1, 10)
        assert rows["row_number"].tolist() == expected


@pytest.mark.parametrize("column", ["learnability", "token_count", "domain"])
@pytest.mark.parametrize("descending", [True, False])
def test_a_page_far_down_holds_what_sorting_all_rows_gives(store: Store, column: str, descending: bool) -> None:
    """Many ties, rows without a score last, and a filter that some rows do not pass."""
    rows = [
        ScoredRow("abc"[n % 3], 10.0, None if n % 5 == 0 else float(n * 7 % 90), 1 + n % 40, response=f"r{n}")
        for n in range(2600)
    ]
    table = add_scored_run(store, rows)
    order = f"{column} {'DESC' if descending else 'ASC'} NULLS LAST, example_id, row_number"
    expected = [
        number for (number,) in store.rows(f"SELECT row_number FROM {table} WHERE token_count >= 3 ORDER BY {order}")
    ]
    wanted = RowFilter(ranges=(Range("token_count", 3, None),))
    for page in (20, 21, 22, 35, 38, 39, 48, 50):
        found, total = examples_page(store, table, wanted, column, descending, page, 50)
        assert total == len(expected)
        assert found["row_number"].tolist() == expected[50 * (page - 1) : 50 * page], page


def test_text_and_range_narrow_the_page_and_its_total(store: Store) -> None:
    rows = [
        ScoredRow("chat", 10.0, 2.0, prompt="Name a planet", response="Mars"),
        ScoredRow("chat", 10.0, 9.0, prompt="Name a planet", response="Venus"),
        ScoredRow("math", 10.0, 2.0, prompt="Two and two", response="Four"),
    ]
    table = add_scored_run(store, rows)
    wanted = RowFilter(search=TextSearch("PLANET"), ranges=(Range("learnability", 0.5, None),))
    found, total = examples_page(store, table, wanted, "row_number", False, 1, 10)
    assert total == 1
    assert found.loc[0, ["prompt", "response"]].tolist() == ["Name a planet", "Mars"]


def test_a_long_or_broken_text_is_a_one_line_snippet(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 1.0, 1.0, prompt="a\n\n b", response="x" * 5000)])
    found, _ = examples_page(store, table, EVERYTHING, "row_number", False, 1, 10)
    assert found.loc[0, "prompt"] == "a b"
    assert len(found.loc[0, "response"]) == 160


def test_sorting_by_an_unknown_column_is_refused(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 1.0, 1.0)])
    with pytest.raises(SelectionInvalid, match="Cannot sort by '1; DROP TABLE loss'"):
        examples_page(store, table, EVERYTHING, "1; DROP TABLE loss", False, 1, 10)


def test_an_example_carries_its_conversation_losses_flags_and_source(store: Store) -> None:
    row = ScoredRow("chat", 10.0, 10.0, 4, prompt="Hello", response="Hi", truncated=True)
    table = add_scored_run(store, [ScoredRow("chat", 8.0, 4.0), row, row, row])
    found = example(store, table, 2)
    assert [message.content for message in found["example"].messages] == ["Hello", "Hi"]
    assert (found["source"], found["line"]) == ("data.jsonl", 2)
    assert found["scores"]["base_loss"] == 2.5
    assert found["flags"] == ["truncated", "unresolved", "short_response"]
    assert found["duplicates"] == [3, 4]
    assert found["duplicate_count"] == 2


def test_an_example_comes_from_its_own_dataset(store: Store) -> None:
    same = ScoredRow("chat", 10.0, 5.0, prompt="Hello", response="Hi")
    add_scored_run(store, [same], run="one", dataset="one")
    table = add_scored_run(store, [same], run="two", dataset="two")
    assert example(store, table, 1)["source"] == "two.jsonl"


def test_a_row_that_is_not_there_is_named(store: Store) -> None:
    table = add_scored_run(store, [ScoredRow("chat", 1.0, 1.0)])
    with pytest.raises(NotFound, match="no row 1,000"):
        example(store, table, 1000)
