"""Filters: which rows a range, a region, a search and a flag let through, counted by the store and by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.errors import SelectionInvalid
from core.data.filters import Range, Region, RowFilter
from core.data.text_search import TextSearch
from core.store import Store
from core.store.database import _MAX_CACHED_SEARCHES
from tests.core.scored_rows import ScoredRow, add_scored_run

ROWS = [
    ScoredRow("chat", 10.0, 2.0, prompt="Name a red planet.", response="Mars"),
    ScoredRow("chat", 20.0, 9.0, prompt="Name a planet.", response="VENUS is\nhot (very)"),
    ScoredRow("math", 30.0, 25.0, prompt="How many planets?", response="8"),
    ScoredRow("math", None, 2.0, prompt="100 % of 7_000?", response="7,000"),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add_scored_run(opened, ROWS)
        yield opened


def passing(store: Store, row_filter: RowFilter) -> list[int]:
    condition, values = row_filter.where()
    table = store.run("first")["table"]
    return [row for (row,) in store.rows(f"SELECT row_number FROM {table} WHERE {condition} ORDER BY 1", values)]


@pytest.mark.parametrize(
    ("search", "rows"),
    [
        (TextSearch("planet red", "words"), [1]),
        (TextSearch("planet mars", "words"), [1]),  # one word in the prompt, one in the response
        (TextSearch("planet red", "phrase"), []),
        (TextSearch("RED planet", "phrase"), [1]),
        (TextSearch("7_0", "phrase"), [4]),
        (TextSearch("%", "phrase"), [4]),
        (TextSearch("venus", "phrase", "prompt"), []),
        (TextSearch("venus", "phrase", "response"), [2]),
        (TextSearch(r"venus.*\(very\)", "regex"), [2]),
        (TextSearch(r"^\d$", "regex", "response"), [3]),
        (TextSearch("   ", "words"), [1, 2, 3, 4]),
    ],
)
def test_a_search_finds_what_it_says(store: Store, search: TextSearch, rows: list[int]) -> None:
    assert passing(store, RowFilter(search=search)) == rows
    assert passing(store, store.searched(RowFilter(search=search))) == rows


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", "*", "[a", "\\"])
def test_a_pattern_that_cannot_be_read_is_refused_in_a_sentence(store: Store, pattern: str) -> None:
    with pytest.raises(SelectionInvalid, match=r"^The pattern .* is invalid \(.*\)\. Correct it"):
        store.searched(RowFilter(search=TextSearch(pattern, "regex")))


def test_a_region_holds_the_points_inside_its_corners(store: Store) -> None:
    # Losses: (1.0, 0.2), (2.0, 0.9), (3.0, 2.5); a concave arrow around the first two, its notch around the third.
    arrow = ((0.0, 0.0), (4.0, 0.0), (1.5, 2.0), (4.0, 4.0), (0.0, 4.0))
    assert passing(store, RowFilter(regions=(Region("base_loss", "reference_loss", arrow),))) == [1, 2]
    whole = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0))
    assert passing(store, RowFilter(regions=(Region("base_loss", "reference_loss", whole),))) == [1, 2, 3]


def test_a_region_without_an_inside_lets_nothing_through(store: Store) -> None:
    flat = ((0.0, 1.0), (4.0, 1.0), (2.0, 1.0))
    assert passing(store, RowFilter(regions=(Region("base_loss", "reference_loss", flat),))) == []


def test_conditions_add_up(store: Store) -> None:
    both = RowFilter(("chat",), (Range("base_loss", 1.5, None),), search=TextSearch("planet"))
    assert passing(store, both) == [2]


def test_a_chart_draws_the_rows_of_every_brush_but_its_own() -> None:
    everything = RowFilter(
        ("chat",),
        (Range("learnability", 0.1, 0.2), Range("base_loss", 1.0, 2.0)),
        regions=(Region("base_loss", "reference_loss", ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))),),
    )
    assert everything.on_columns("learnability") == RowFilter(
        ("chat",), (Range("base_loss", 1.0, 2.0),), regions=everything.regions
    )
    assert everything.on_columns("base_loss", "reference_loss") == RowFilter(
        ("chat",), (Range("learnability", 0.1, 0.2),)
    )


def test_a_search_that_was_looked_up_sees_what_is_imported_later(store: Store) -> None:
    search = RowFilter(search=TextSearch("planet"))
    assert passing(store, store.searched(search)) == [1, 2, 3]
    add_scored_run(store, [ScoredRow("chat", 10.0, 2.0, prompt="A planet, please.")], run="second", dataset="more")
    condition, values = store.searched(search).where()
    table = store.run("second")["table"]
    assert store.rows(f"SELECT count(*) FROM {table} WHERE {condition}", values) == [(1,)]


def test_only_the_last_searches_are_kept(store: Store) -> None:
    for number in range(_MAX_CACHED_SEARCHES + 3):
        store.searched(RowFilter(search=TextSearch(f"planet {number}")))
    kept = "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'scratch'"
    assert store.rows(kept) == [(_MAX_CACHED_SEARCHES,)]
    assert passing(store, store.searched(RowFilter(search=TextSearch("red planet")))) == [1]
