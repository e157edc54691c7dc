"""An amount that is divided among many domains and rounds to (nearly) nothing is said, not left to be noticed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.filters import RowFilter
from core.exporting.manifest import manifest
from core.selection import Amount, Selection, select_summary
from core.store import Store
from core.workspace.answering import perform
from tests.command_line import run
from tests.core.scored_rows import ScoredRow, add_scored_run

SMALL, ROWS_EACH = 40, 2
ADVICE = "Rank all domains together (--scope pooled) or give a number of rows (--rows N)."
NONE = (
    "The ratio 0.1 keeps none of 80 rows, because each of 40 domains has so few rows that the share rounds to 0. "
    f"{ADVICE}"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """40 domains of two rows, of 10 tokens each."""
    with Store.open(tmp_path, "test") as store:
        add_scored_run(
            store,
            [
                ScoredRow(f"small {number:02d}", 20.0 + each, 15.0)
                for number in range(SMALL)
                for each in range(ROWS_EACH)
            ],
        )
    return tmp_path


@pytest.fixture
def store(workspace: Path) -> Iterator[Store]:
    with Store.open(workspace, "test") as opened:
        yield opened


def notices(store: Store, **recipe: Any) -> list[str]:
    return select_summary(store, Selection("first", **recipe)).notices


def test_a_ratio_that_keeps_nothing_of_small_domains_is_said_with_what_to_do(store: Store) -> None:
    assert notices(store, amount=Amount("ratio", 0.1)) == [NONE]


def test_it_is_said_in_json_and_in_the_manifest_too(store: Store) -> None:
    recipe = Selection("first", amount=Amount("ratio", 0.1))
    answer = perform(store, "select", {"name": "tenth", "recipe": recipe.to_fields()}, store.workspace)
    assert answer["notices"] == [NONE]
    assert manifest(store, recipe, select_summary(store, recipe), {}, None)["result"]["notices"] == [NONE]


def test_the_command_says_it_and_exits_with_0(workspace: Path) -> None:
    found = run(workspace, "select", "--run", "first", "--name", "tenth", "--ratio", "0.1")
    assert found.returncode == 0
    assert NONE in found.stderr
    assert "0 of 80 rows" in found.stdout


@pytest.mark.parametrize(
    "recipe",
    [
        {"amount": Amount("ratio", 0.5)},  # half a row rounds up
        {"amount": Amount("rows", 8)},  # divided by largest remainder
        {"amount": Amount("ratio", 0.1), "scope": "pooled"},
        {"amount": Amount("ratio", 0.1), "weights": {"small 01": 1.0, "small 02": 3.0}},
        {"amount": Amount("ratio", 0.0)},
        {"amount": Amount("tokens", 400)},  # a row of each domain
    ],
)
def test_an_amount_that_keeps_what_it_requests_is_not(recipe: dict[str, Any], store: Store) -> None:
    assert not [notice for notice in notices(store, **recipe) if "keeps" in notice or "tokens requested" in notice]


def test_less_than_half_is_said_with_the_domains_that_give_nothing(store: Store) -> None:
    add_scored_run(store, [ScoredRow("large", 20.0, 15.0) for _ in range(20)] + _small(80), "second", "other")
    recipe = Selection("second", amount=Amount("ratio", 0.1))
    found = select_summary(store, recipe)
    assert found.kept_rows == 2
    assert found.notices == [
        "The ratio 0.1 keeps 2 of 180 rows, because 80 of 81 domains have so few rows that the share rounds to 0. "
        f"{ADVICE}"
    ]


def _small(count: int) -> list[ScoredRow]:
    return [ScoredRow(f"small {number}", 21.0, 15.0, prompt=f"{each}") for number in range(count) for each in range(2)]


def test_tokens_that_are_too_few_for_a_row_of_each_domain_are_said(store: Store) -> None:
    assert notices(store, amount=Amount("tokens", 200)) == [
        "200 tokens requested, 0 selected: the next row of most of the 40 domains has more tokens than are left for "
        f"it. {ADVICE}"
    ]


def test_own_amounts_and_rows_that_no_filter_passes_do_not_count_for_the_ratio_of_all(store: Store) -> None:
    every = {f"small {number:02d}": Amount("ratio", 1.0) for number in range(SMALL - 1)}
    assert not notices(store, amount=Amount("ratio", 0.1), domain_amounts=every)
    one = RowFilter(domains=("small 00",))
    assert notices(store, amount=Amount("ratio", 0.1), filter=one) == [
        "The ratio 0.1 keeps none of 2 rows, because their share rounds to 0. Increase the amount."
    ]


def test_of_many_domains_with_too_few_eligible_rows_ten_are_named_and_the_rest_counted(store: Store) -> None:
    found = notices(store, amount=Amount("ratio", 1.0), filter=RowFilter(with_flags=("duplicate",)))
    assert len(found) == 11
    assert found[-1].startswith("30 more domains have fewer eligible rows or tokens than requested.")
