"""Budgets: rounded half up, split so that the parts add up, never for a domain that is not there."""

import pytest

from core.data.errors import SelectionInvalid
from core.data.filters import RowFilter
from core.selection.budgets import POOL, Budget, budgets
from core.selection.recipe import Amount, Selection

TOTALS = {"chat": (100, 5000), "code": (50, 4000), "math": (3, 1000)}


def test_a_ratio_is_of_each_domains_rows_and_rounds_half_up() -> None:
    found = budgets(Selection("r", amount=Amount("ratio", 0.5)), {"a": (5, 1), "b": (6, 1)})
    assert found == {"a": Budget("rows", 3), "b": Budget("rows", 3)}


def test_a_ratio_rounds_as_the_decimal_that_was_typed() -> None:
    # In binary 0.285 * 100 is 28.499999999999996.
    assert budgets(Selection("r", amount=Amount("ratio", 0.285)), {"a": (100, 1)}) == {"a": Budget("rows", 29)}


@pytest.mark.parametrize("total", [0, 1, 2, 3, 100, 1000])
@pytest.mark.parametrize("kind", ["rows", "tokens"])
def test_the_parts_of_a_total_add_up_to_it(kind: str, total: int) -> None:
    found = budgets(Selection("r", amount=Amount(kind, total)), TOTALS)
    assert sum(budget.wanted for budget in found.values()) == total
    assert {budget.unit for budget in found.values()} == {kind}


def test_a_total_is_split_by_size_with_the_largest_remainder_served_first() -> None:
    found = budgets(Selection("r", amount=Amount("tokens", 11)), TOTALS)
    # Shares 5.5, 4.4 and 1.1: the one token left over goes to chat.
    assert {domain: budget.wanted for domain, budget in found.items()} == {"chat": 6, "code": 4, "math": 1}


def test_a_domains_own_amount_replaces_its_part_only() -> None:
    own = {"math": Amount("tokens", 700), "code": Amount("ratio", 0.1)}
    found = budgets(Selection("r", amount=Amount("rows", 153), domain_amounts=own), TOTALS)
    assert found == {"chat": Budget("rows", 100), "code": Budget("rows", 5), "math": Budget("tokens", 700)}


def test_pooled_there_is_one_budget_of_all_rows() -> None:
    assert budgets(Selection("r", scope="pooled", amount=Amount("ratio", 0.1)), TOTALS) == {POOL: Budget("rows", 15)}


def test_a_domain_that_the_filter_shuts_out_gets_nothing_and_the_rest_share_the_total() -> None:
    found = budgets(Selection("r", amount=Amount("rows", 30), filter=RowFilter(domains=("chat", "code"))), TOTALS)
    assert {domain: budget.wanted for domain, budget in found.items()} == {"chat": 20, "code": 10, "math": 0}


def test_an_amount_for_a_domain_that_is_not_there_is_refused_naming_those_that_are() -> None:
    with pytest.raises(SelectionInvalid, match=r"no domain 'maths'.*chat, code, math"):
        budgets(Selection("r", domain_amounts={"maths": Amount("rows", 1)}), TOTALS)
