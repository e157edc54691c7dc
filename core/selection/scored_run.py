"""A scored run as selecting sees it: its table, and how much each of its domains holds."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..data.loss_roles import is_imported
from ..data.scores import SCORES
from ..store import Store


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A run's name, dataset and scored table. `roles`: those whose losses it holds, the names of its imported scores,
    and `PAIRS` if its dataset has preference pairs. `totals`: (rows, scored tokens) of every domain, by name."""

    name: str
    dataset: str
    table: str
    roles: tuple[str, ...]
    totals: Mapping[str, tuple[int, int]]

    @property
    def score_columns(self) -> tuple[str, ...]:
        """Names of the scores that its table has as columns: empty ones too, and the imported ones last."""
        return (*SCORES, *filter(is_imported, self.roles))


def scored_run(store: Store, name: str) -> ScoredRun:
    """The run of that name, counted once for all that ask about it. Raises `NotFound` naming those there are."""
    found = store.run(name)
    totals = domain_totals(store, found["table"])
    return ScoredRun(name, str(found["dataset"]), str(found["table"]), found["roles"], totals)


def domain_totals(store: Store, table: str) -> dict[str, tuple[int, int]]:
    """Rows and scored tokens of every domain of a scored table, by name."""
    sql = f"SELECT domain, count(*), sum(token_count)::BIGINT FROM {table} GROUP BY domain ORDER BY domain"
    return {domain: (rows, tokens) for domain, rows, tokens in store.rows(sql)}
