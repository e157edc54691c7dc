"""The rows that a recipe selects, as a condition on its run's scored table, and why some rows are not among them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ..data.filters import Query
from ..store import Store
from .budgets import POOL, budgets
from .decisions import BELOW_THE_CUT, KEPT, NEAR_DUPLICATE, objections
from .explanation import RowOutcome
from .ranking import cut, kept_of, ranking
from .recipe import Selection
from .scored_run import ScoredRun


@contextmanager
def kept_condition(store: Store, selection: Selection, run: ScoredRun) -> Iterator[Query]:
    """An SQL condition on the scored table that the selected rows meet, for as long as the block runs. Raises as
    `ranking` does."""
    with ranking(store, selection, run) as ranked:
        sql, values = kept_of(ranked, cut(store, ranked, budgets(selection, run.totals)))
        yield f"row_number IN (SELECT row_number FROM ({sql}))", values


def outcomes_of(
    store: Store, selection: Selection, run: ScoredRun, row_numbers: Sequence[int]
) -> dict[int, RowOutcome]:
    """What a recipe does with each of a few rows, by row number; as `row_outcome` says, from the ranking that the
    amounts are looked up in. Rows that the run lacks are left out. Raises as `ranking` does."""
    with ranking(store, selection, run) as ranked:
        cuts = cut(store, ranked, budgets(selection, run.totals))
        names = list(run.totals)
        found = {}

        def outcome(domain: str, reason: str, picked: bool, value: float | None, rank: int | None) -> RowOutcome:
            name = POOL if ranked.pooled else domain
            eligible, at = ranked.pools[name].eligible.rows, cuts[name]
            return RowOutcome(reason, picked, domain, value, rank, eligible, at.kept.rows, at.value)

        placed = store.rows(
            f"SELECT row_number, domain, rank, place, value, picked FROM {ranked.table} "
            "WHERE row_number IN (SELECT unnest(?::BIGINT[]))",
            [list(row_numbers)],
        )
        for number, domain, rank, place, value, picked in placed:
            name = names[domain]
            is_kept = place <= cuts[POOL if ranked.pooled else name].place
            found[number] = outcome(name, KEPT if is_kept else BELOW_THE_CUT, picked, value, rank)
        others = [number for number in row_numbers if number not in found]
        selection = replace(selection, filter=store.searched(selection.filter))
        sql, values = objections(selection, run.table, others)
        for number, domain, value, reason in store.rows(sql, values) if others else ():
            found[number] = outcome(domain, reason or NEAR_DUPLICATE, False, value, None)
    return found
