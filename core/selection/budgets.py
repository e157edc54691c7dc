"""Budgets: how many rows or tokens a recipe requests from each pool of rows that are ranked together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from ..data.errors import SelectionInvalid
from ..data.listing import listed
from .recipe import Amount, Selection

POOL = ""
"""The one pool of the pooled scope; in scope "domain" every domain is a pool of that name."""
_MOST_DECIMALS = 16


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that is selected from a pool: `wanted` of `unit` ("rows" or "tokens")."""

    unit: str
    wanted: int


def budgets(selection: Selection, totals: Mapping[str, tuple[int, int]]) -> dict[str, Budget]:
    """The budget of each pool; `totals` holds (rows, tokens) of every domain of the dataset.

    A ratio is rounded half up. A total of rows or tokens is split over the domains in proportion to their rows or
    tokens, by largest remainder, so that the parts add up to it. A domain excluded by the filter gets nothing.
    Raises `SelectionInvalid` for an amount of an unknown domain, or a run without rows.
    """
    if not totals:
        raise SelectionInvalid(f"The run {selection.run!r} has no rows. Import data and score it first.")
    unknown = sorted({*selection.domain_amounts, *selection.weights} - set(totals))
    if unknown:
        raise SelectionInvalid(
            f"There is no domain {listed(map(repr, unknown))}. The run's domains are: {listed(sorted(totals))}."
        )
    allowed = allowed_totals(selection, totals)
    if selection.scope == "pooled":
        rows = sum(rows for rows, _ in allowed.values())
        return {POOL: _budget(selection.amount, rows)}
    parts = _weighted_budgets(selection, allowed) if selection.weights else _default_budgets(selection.amount, allowed)
    found = dict.fromkeys(totals, Budget("rows", 0)) | parts
    for domain, amount in selection.domain_amounts.items():
        if domain in allowed:
            found[domain] = _budget(amount, totals[domain][0])
    return found


def allowed_totals(selection: Selection, totals: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The (rows, tokens) of the domains that the filter does not exclude."""
    named = frozenset(selection.filter.domains)
    return {domain: total for domain, total in totals.items() if not named or domain in named}


def ratio_of_rows(count: int, rows: int) -> Amount:
    """The ratio with the fewest decimals whose budget, of so many `rows`, is exactly `count` rows."""
    for decimals in range(3, _MOST_DECIMALS):
        amount = Amount("ratio", round(count / rows, decimals) if rows else 0.0)
        if _budget(amount, rows).wanted == count:
            return amount
    raise SelectionInvalid(f"No share of {rows:,} rows is {count:,} rows. Give a number of rows.")


def _budget(amount: Amount, rows: int) -> Budget:
    if amount.kind == "ratio":
        # Decimal from the ratio's shortest text: 0.285 of 100 rows is 28.5 and rounds to 29; binary floats give 28.
        wanted = (Decimal(str(amount.value)) * rows).to_integral_value(ROUND_HALF_UP)
        return Budget("rows", int(wanted))
    return Budget(amount.kind, int(amount.value))


def _default_budgets(amount: Amount, totals: Mapping[str, tuple[int, int]]) -> dict[str, Budget]:
    if amount.kind == "ratio":
        return {domain: _budget(amount, rows) for domain, (rows, _) in totals.items()}
    sizes = {domain: total[0 if amount.kind == "rows" else 1] for domain, total in totals.items()}
    return {domain: Budget(amount.kind, part) for domain, part in _split(int(amount.value), sizes).items()}


def _weighted_budgets(selection: Selection, totals: Mapping[str, tuple[int, int]]) -> dict[str, Budget]:
    total = _budget(selection.amount, sum(rows for rows, _ in totals.values()))
    weights = {domain: Fraction(str(selection.weights.get(domain, 0))) for domain in totals}
    return {domain: Budget(total.unit, part) for domain, part in _split(total.wanted, weights).items()}


def _split(total: int, sizes: Mapping[str, int | Fraction]) -> dict[str, int]:
    """Integer parts in proportion to the sizes that add up to the total, by largest remainder, then by name."""
    # In integers, which are exact as fractions are, and much faster.
    unit = math.lcm(*(size.denominator for size in sizes.values()))
    counts = {domain: int(size * unit) for domain, size in sizes.items()}
    whole = sum(counts.values())
    if not whole:
        return dict.fromkeys(sizes, 0)
    parts = {domain: total * count // whole for domain, count in counts.items()}
    by_remainder = sorted(counts, key=lambda domain: (-(total * counts[domain] % whole), domain))
    for domain in by_remainder[: total - sum(parts.values())]:
        parts[domain] += 1
    return parts
