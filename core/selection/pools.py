"""The result of each pool of rows that are ranked together, with a sentence for what it could not give."""

from collections.abc import Sequence
from dataclasses import dataclass

from .recipe import Selection

_MOST_CAPPED = 10
"""Pools that have fewer eligible rows than requested and are named; of more, only their number is said."""


@dataclass(frozen=True, slots=True)
class PoolSummary:
    """One pool's result. `rows` and `tokens` are all of the pool's, `eligible_*` those that can be selected. `capped`:
    fewer are eligible than `wanted`. `cut_value`: the score of the last selected row, None if the order does not use
    the score, or ranks within length bands."""

    pool: str
    unit: str
    wanted: int
    rows: int
    tokens: int
    eligible_rows: int
    eligible_tokens: int
    kept_rows: int
    kept_tokens: int
    cut_value: float | None

    @property
    def available(self) -> int:
        """Eligible rows or tokens, in the budget's unit."""
        return self.eligible_rows if self.unit == "rows" else self.eligible_tokens

    @property
    def kept(self) -> int:
        """Selected rows or tokens, in the budget's unit."""
        return self.kept_rows if self.unit == "rows" else self.kept_tokens

    @property
    def capped(self) -> bool:
        """Whether more was requested than is eligible, so that everything eligible is selected."""
        return self.available < self.wanted


def capped_notices(pools: Sequence[PoolSummary]) -> list[str]:
    """A sentence for each pool with fewer eligible rows than requested; of many pools, for those that lack most."""
    capped = [pool for pool in pools if pool.capped]
    if len(capped) <= _MOST_CAPPED:
        return [_capped_notice(pool) for pool in capped]
    worst = sorted(capped, key=lambda pool: pool.available - pool.wanted)[:_MOST_CAPPED]
    rest = f"{len(capped) - len(worst):,} more domains have fewer eligible rows or tokens than requested"
    return [*map(_capped_notice, worst), f"{rest}. All their eligible rows are selected."]


def _capped_notice(pool: PoolSummary) -> str:
    name, requested = pool.pool or "All domains", f"{pool.wanted:,} {pool.unit} requested"
    if not pool.available:
        return f"{name}: no row passes the filters ({requested})."
    return f"{name}: {requested}, {pool.available:,} eligible. All eligible rows are selected."


def shortfall_notices(selection: Selection, pools: Sequence[PoolSummary]) -> list[str]:
    """A sentence if less than half of the requested rows or tokens are selected although they are eligible: the amount,
    divided among the domains, is then less than a row in many of them."""
    shares = [(pool, _share(selection, pool)) for pool in pools if pool.available]
    found = []
    for unit, sentence in (("rows", _rounded_notice), ("tokens", _long_rows_notice)):
        mine = [(pool, share) for pool, share in shares if pool.unit == unit and share]
        if sum(pool.kept for pool, _ in mine) < sum(min(share, pool.available) for pool, share in mine) / 2:
            plain = len(mine) > 1 and not (selection.weights or selection.domain_amounts)
            plain = plain and sum(share for _, share in mine) >= 1
            advice = "Rank all domains together (--scope pooled) or give a number of rows (--rows N)."
            found.append(f"{sentence(selection, mine)} {advice if plain else 'Increase the amount.'}")
    return found


def spread_notices(selection: Selection, pools: Sequence[PoolSummary]) -> list[str]:
    """A sentence if more rows are selected than the spread had candidates."""
    if selection.spread is None:
        return []
    most, beyond = selection.spread.candidates, [pool for pool in pools if pool.kept_rows > selection.spread.candidates]
    if not beyond:
        return []
    where = "" if selection.scope == "pooled" else f" in {len(beyond):,} domains"
    return [f"The best {most:,} rows are spread, and more are selected{where}: the others follow by score."]


def _share(selection: Selection, pool: PoolSummary) -> float:
    """What is requested of a pool, before a ratio is rounded to rows."""
    amount = selection.domain_amounts.get(pool.pool, selection.amount)
    is_part = bool(selection.weights) and pool.pool not in selection.domain_amounts
    return amount.value * pool.rows if amount.kind == "ratio" and not is_part else pool.wanted


def _rounded_notice(selection: Selection, mine: Sequence[tuple[PoolSummary, float]]) -> str:
    ratios = {selection.domain_amounts.get(pool.pool, selection.amount).value for pool, _ in mine}
    ratio = f"The ratio {ratios.pop():g} keeps" if len(ratios) == 1 else "The ratios keep"
    kept, rows = sum(pool.kept for pool, _ in mine), sum(pool.rows for pool, _ in mine)
    empty, of_all = sum(not pool.wanted for pool, _ in mine), len(mine)
    cause = "their share rounds to 0"
    if of_all > 1:
        each = f"each of {of_all:,} domains has" if empty == of_all else f"{empty:,} of {of_all:,} domains have"
        cause = f"{each} so few rows that the share rounds to 0"
    return f"{ratio} {kept or 'none':{',' if kept else ''}} of {rows:,} rows, because {cause}."


def _long_rows_notice(_: Selection, mine: Sequence[tuple[PoolSummary, float]]) -> str:
    wanted, kept = sum(pool.wanted for pool, _ in mine), sum(pool.kept for pool, _ in mine)
    where = f" of most of the {len(mine):,} domains" if len(mine) > 1 else ""
    return f"{wanted:,} tokens requested, {kept:,} selected: the next row{where} has more tokens than are left for it."
