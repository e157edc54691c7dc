"""The rows of an outcome, found by the ranking's cut, against the decisions that are made row by row."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.data.filters import Range, RowFilter
from core.exploring.browsing import FLAGGED, conversations, examples_page
from core.selection import (
    KEPT,
    Amount,
    Pick,
    Selection,
    kept_condition,
    outcomes_of,
    row_decisions,
    row_outcome,
    scored_run,
)
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store

ROWS = [
    *(ScoredRecord("chat", 2.0, number / 20, 10 + number, f"chat {number}") for number in range(30)),
    *(ScoredRecord("math", 1.0, number / 20, 20, f"math {number}") for number in range(20)),
    *(ScoredRecord("math", 1.0, 0.1, 20, "twin", truncated=True) for _ in range(3)),
]
PLAIN = Selection("planets", amount=Amount("ratio", 0.3))
RECIPES = {
    "plain": PLAIN,
    "pooled tokens": replace(PLAIN, scope="pooled", amount=Amount("tokens", 300)),
    "filtered": replace(PLAIN, filter=RowFilter(("math",), (Range("learnability", 0.2, 0.9),))),
    "length bands": replace(PLAIN, length_bands=3),
    "lowest, nothing of chat": replace(PLAIN, order="lowest", domain_amounts={"chat": Amount("rows", 0)}),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return build_scored_store(tmp_path, ROWS)


def example_of(store: Store, row: int) -> str:
    return str(store.rows("SELECT example_id FROM scored_1 WHERE row_number = ?", [row])[0][0])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("with_picks", [False, True])
def test_the_rows_of_an_outcome_are_those_of_the_decisions(store: Store, name: str, with_picks: bool) -> None:
    recipe = RECIPES[name]
    if with_picks:
        recipe = replace(recipe, picks=(Pick(example_of(store, 30), True), Pick(example_of(store, 1), False)))
    run = scored_run(store, "planets")
    sql, values = row_decisions(store, recipe)
    decided = dict(store.rows(f"SELECT row_number, outcome FROM ({sql})", values))
    with kept_condition(store, recipe, run) as kept:
        table, total = examples_page(store, run.table, RowFilter(), "row_number", False, 1, 100, kept)
    assert table["row_number"].tolist() == [row for row in sorted(decided) if decided[row] == KEPT]
    assert total == len(table)
    found = outcomes_of(store, recipe, run, list(decided))
    assert {row: outcome.outcome for row, outcome in found.items()} == decided
    for row in (1, 5, 29, 30, 35, 51):
        assert found[row].sentence(recipe) == row_outcome(store, recipe, row).sentence(recipe)


def test_the_conversations_of_a_filter_are_named_once(store: Store) -> None:
    flagged = conversations(store, "scored_1", RowFilter(), (FLAGGED, []))
    assert flagged == [example_of(store, 51)]
    assert len(conversations(store, "scored_1", RowFilter(("chat",)))) == 30
