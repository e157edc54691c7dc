"""Trust: flags are counted by domain, and among the rows that a selection keeps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.filters import EVERYTHING, RowFilter
from core.exploring.trust import flag_effects
from core.selection import Amount, Selection, kept_rows
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run

ROWS = [
    ScoredRow("chat", 10.0, 1.0, tokens=5, truncated=True),
    ScoredRow("chat", 10.0, 2.0, tokens=7, prompt="Twice", response="the same"),
    ScoredRow("chat", 10.0, 2.0, tokens=7, prompt="Twice", response="the same"),
    ScoredRow("math", 10.0, 9.0, tokens=3, truncated=True),
    ScoredRow("math", 10.0, None, tokens=4),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add_scored_run(opened, ROWS, run="planets")
        yield opened


def counted(
    store: Store, row_filter: RowFilter = EVERYTHING, selection: Selection | None = None
) -> list[tuple[object, ...]]:
    table = store.run("planets")["table"]
    found = flag_effects(store, table, row_filter, kept_rows(store, selection) if selection else None)
    return [tuple(row) for row in found.itertuples(index=False)]


def test_flags_are_counted_by_domain(store: Store) -> None:
    assert counted(store) == [
        ("duplicate", "chat", 1, 7, 0, 0),
        ("short_response", "chat", 3, 19, 0, 0),
        ("short_response", "math", 2, 7, 0, 0),
        ("truncated", "chat", 1, 5, 0, 0),
        ("truncated", "math", 1, 3, 0, 0),
    ]


def test_kept_rows_are_those_of_the_selection(store: Store) -> None:
    best = Selection("planets", amount=Amount("rows", 1), weights={"chat": 1})
    kept = {(flag, domain): (rows, tokens) for flag, domain, _, _, rows, tokens in counted(store, selection=best)}
    assert kept[("truncated", "chat")] == (1, 5)
    assert kept[("truncated", "math")] == (0, 0)


def test_a_filter_narrows_what_is_counted(store: Store) -> None:
    assert {domain for _, domain, *_ in counted(store, RowFilter(("math",)))} == {"math"}


def test_rows_that_the_reference_was_trained_on_are_flagged(store: Store) -> None:
    table = store.run("planets")["table"]
    seen = [str(row[0]) for row in store.rows(f"SELECT example_id FROM {table} WHERE row_number IN (1, 4)")]
    store.record_training("reference model", seen)
    store.record_training("reference model", seen[::-1])  # known already: nothing is added or taken away
    ((run,),) = store.rows("SELECT name FROM run")
    store.save_run(run, "data", store.run(run)["loss_sets"], {})
    flagged = {(flag, domain): rows for flag, domain, rows, *_ in counted(store)}
    assert flagged[("trained_on", "chat")] == flagged[("trained_on", "math")] == 1
