"""Thousands of domains: what is asked of the store does not grow with them."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.data.filters import EVERYTHING, RowFilter
from core.exploring.distributions import domain_counts, histogram, summary
from core.exploring.length_bias import length_bias
from core.selection import Amount, Selection, near_the_cut, row_decisions, select_summary, selection_profile
from core.selection.budgets import budgets
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run

FEW, MANY = 3, 300
_READS = ("rows", "frame", "arrow", "build_scratch")


def scored_store(workspace: Path, domains: int, rows_each: int = 2) -> Store:
    """A store with a run named "first" of so many domains."""
    store = Store.open(workspace, "test")
    names = [f"domain {number:04d}" for number in range(domains)]
    add_scored_run(store, [ScoredRow(name, 20.0 + each, 15.0) for name in names for each in range(rows_each)])
    return store


def statements(
    monkeypatch: pytest.MonkeyPatch, workspace: Path, domains: int, ask: Callable[[Store, list[str]], object]
) -> list[tuple[str, int]]:
    """The statements, with every number as N, that `ask` executes, and how many parameters each has."""
    found: list[tuple[str, int]] = []
    with scored_store(workspace, domains) as store, monkeypatch.context() as patch:
        names = [name for (name,) in store.rows("SELECT DISTINCT domain FROM scored_1 ORDER BY domain")]
        for method in _READS:
            real = getattr(Store, method)

            def recorded(self: Store, sql: str, parameters: Any = (), *, _real: Any = real, **tables: Any) -> Any:
                found.append((re.sub(r"\d+", "N", sql), len(parameters)))
                return _real(self, sql, parameters, **tables)

            patch.setattr(Store, method, recorded)
        ask(store, names)
    return found


def selected(recipe: Callable[[list[str]], Selection]) -> Callable[[Store, list[str]], None]:
    """Everything that a recipe asks of the store."""

    def ask(store: Store, names: list[str]) -> None:
        selection = recipe(names)
        select_summary(store, selection)
        selection_profile(store, selection)
        near_the_cut(store, selection, names[0])
        sql, values = row_decisions(store, selection)
        store.rows(sql, values)

    return ask


def explored(store: Store, names: list[str]) -> None:
    """What the pages ask of rows of all domains but one."""
    chosen = RowFilter(domains=tuple(names[1:]))
    for ask in (domain_counts, length_bias):
        ask(store, "scored_1", chosen)
    for ask_of_score in (histogram, summary):
        ask_of_score(store, "scored_1", "learnability", chosen)


EVERY_ROW = Selection("first", amount=Amount("ratio", 1.0))
ASKED: dict[str, Callable[[Store, list[str]], object]] = {
    "a ratio": selected(lambda names: EVERY_ROW),
    "tokens": selected(lambda names: replace(EVERY_ROW, amount=Amount("tokens", 40))),
    "weights": selected(lambda names: replace(EVERY_ROW, weights=dict.fromkeys(names, 1.0))),
    "own amounts": selected(
        lambda names: replace(EVERY_ROW, domain_amounts={name: Amount("tokens", 10) for name in names})
    ),
    "a filter": selected(
        lambda names: replace(EVERY_ROW, filter=RowFilter(domains=tuple(names[1:]), with_flags=("duplicate",)))
    ),
    "exploring": explored,
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_statements_and_their_parameters_do_not_grow_with_the_domains(
    ask: Callable[[Store, list[str]], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = statements(monkeypatch, tmp_path / "few", FEW, ask)
    assert few
    assert statements(monkeypatch, tmp_path / "many", MANY, ask) == few


def test_a_filter_that_names_domains_keeps_their_rows_only(tmp_path: Path) -> None:
    with scored_store(tmp_path, FEW) as store:
        every = domain_counts(store, "scored_1", EVERYTHING)
        found = domain_counts(store, "scored_1", RowFilter(domains=("domain 0001", "unknown")))
    assert every["rows"].tolist() == [2, 2, 2]
    assert found["rows"].tolist() == [0, 2, 0]


def test_a_total_is_split_over_thousands_of_domains_to_the_row() -> None:
    totals = {f"domain {number}": (number % 7 + 1, 10) for number in range(5_000)}
    parts = budgets(Selection("first", amount=Amount("rows", 1_234)), totals)
    assert sum(part.wanted for part in parts.values()) == 1_234
    largest = max(part.wanted for part in parts.values())
    assert {part.wanted for part in parts.values()} == {0, largest} == {0, 1}
