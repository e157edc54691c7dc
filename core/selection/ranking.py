"""Rankings: the eligible rows of a recipe in order, made once, so that an amount is looked up and not ranked anew.

An amount says where a ranking is cut and never how it goes: a slider that moves asks for a few of its rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate

import pandas as pd

from ..data.filters import Query
from ..data.loss_roles import is_imported, require_roles
from ..store import Store
from .budgets import POOL, Budget
from .decisions import BELOW_THE_CUT, KEPT, NEAR_DUPLICATE, left_out, ranked_rows
from .near_search import near_search
from .recipe import ORDERS, Selection
from .scored_run import ScoredRun
from .spread import spread_rows

_OUTCOMES = ["domain", "outcome", "rows", "tokens"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Some rows, and their scored tokens."""

    rows: int = 0
    tokens: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.rows + other.rows, self.tokens + other.tokens)

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(self.rows - other.rows, self.tokens - other.tokens)


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool of a ranking: its number there, its eligible rows, how many of them were picked by hand, and the place
    just before its best row."""

    number: int
    eligible: Tally
    picked: int
    before: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """A recipe's eligible rows by pool, best first. `table` has what `ranked_rows` says; `pools` and `eligible` (of
    each domain) are by name; `left_out` are the rows that are not eligible: domain, outcome, rows, tokens. `of_pairs`:
    the rows of each preference pair follow one another."""

    table: str
    pooled: bool
    of_pairs: bool
    pools: Mapping[str, Pool]
    eligible: Mapping[str, Tally]
    left_out: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a pool is cut: its best rows are `kept`, up to and with `place`. `value` is the score of the last one that
    is kept by its rank, None where there is none."""

    place: int
    kept: Tally
    value: float | None


@contextmanager
def ranking(store: Store, selection: Selection, run: ScoredRun) -> Iterator[Ranking]:
    """The ranking of a recipe's rows, whatever its amounts, for as long as the block runs.

    Raises `NotFound` if the search for near duplicates that the recipe names is not there, and `SelectionInvalid` for
    a search pattern that cannot be read or a score that needs losses which the run lacks.
    """
    if ORDERS[selection.order].by_score or selection.keeps_pairs or any(map(is_imported, selection.roles)):
        require_roles(selection.value_label, selection.roles, run.roles)
    selection = replace(selection, filter=store.searched(selection.filter))
    state: list[object] = store.table_state(run.table)
    search = near_search(store, selection, run)
    near_set = search.near_duplicate_set_id if search else None
    if search:
        state.append(search.created_at)
    spread = spread_rows(store, selection, run, near_set)
    rows, rows_values = ranked_rows(selection, run.table, list(run.totals), near_set, spread)
    others, others_values = left_out(selection, run.table)
    with store.cached_table(rows, rows_values, state) as table:
        counts = f"SELECT pool, domain, count(*), sum(token_count)::BIGINT, count_if(picked) FROM {table} GROUP BY ALL"
        with store.cached_table(counts, [], []) as counted, store.cached_table(others, others_values, state) as rest:
            yield _counted(store.rows(f"FROM {counted}"), store.frame(f"FROM {rest}"), table, selection, run)


def _counted(
    counts: list[tuple[int, ...]], objections: pd.DataFrame, table: str, selection: Selection, run: ScoredRun
) -> Ranking:
    names, pooled = list(run.totals), selection.scope == "pooled"
    eligible = dict.fromkeys(names, Tally())
    of_pools, picked = ([Tally()] * (1 if pooled else len(names)), [0] * len(names))
    for pool, domain, rows, tokens, by_hand in counts:
        eligible[names[domain]] = Tally(rows, tokens)
        of_pools[pool] += Tally(rows, tokens)
        picked[pool] += by_hand
    before = [0, *accumulate(tally.rows for tally in of_pools)]
    pools = {
        name: Pool(number, of_pools[number], picked[number], before[number])
        for number, name in enumerate([POOL] if pooled else names)
    }
    left = [
        *objections[_OUTCOMES].itertuples(index=False, name=None),
        *_near_duplicate_counts(run, eligible, objections),
    ]
    return Ranking(table, pooled, selection.keeps_pairs, pools, eligible, pd.DataFrame(left, columns=_OUTCOMES))


def _near_duplicate_counts(
    run: ScoredRun, eligible: Mapping[str, Tally], objections: pd.DataFrame
) -> list[tuple[str, str, int, int]]:
    """Rows that meet no objection and are not eligible: near duplicates of a better one."""
    found, objected = [], {domain: Tally() for domain in run.totals}
    for domain, rows, tokens in objections[["domain", "rows", "tokens"]].itertuples(index=False, name=None):
        objected[domain] += Tally(int(rows), int(tokens))
    for domain, total in run.totals.items():
        rest = Tally(*total) - eligible[domain] - objected[domain]
        if rest.rows:
            found.append((domain, NEAR_DUPLICATE, rest.rows, rest.tokens))
    return found


def cut(store: Store, ranked: Ranking, limits: Mapping[str, Budget]) -> dict[str, Cut]:
    """Where limits, by name of the pool, cut a ranking. What was picked by hand is kept, whatever the limit."""
    within = _within_tokens(store, ranked, limits)
    rows_together = 2 if ranked.of_pairs else 1
    kept = {}
    for name, pool in ranked.pools.items():
        limit = limits[name]
        by_rank = min(limit.wanted, pool.eligible.rows) if limit.unit == "rows" else within.get(pool.number, 0)
        by_rank -= by_rank % rows_together
        kept[name] = max(by_rank, pool.picked)
    places = [pool.before + kept[name] for name, pool in ranked.pools.items() if kept[name]]
    sql = f"SELECT pool, running_tokens, value FROM {ranked.table} WHERE place IN (SELECT unnest(?::BIGINT[]))"
    last = {pool: (tokens, value) for pool, tokens, value in store.rows(sql, [places])}
    found = {}
    for name, pool in ranked.pools.items():
        tokens, value = last.get(pool.number, (0, None))
        by_hand_only = kept[name] <= pool.picked
        found[name] = Cut(pool.before + kept[name], Tally(kept[name], tokens), None if by_hand_only else value)
    return found


def kept_of(ranked: Ranking, cuts: Mapping[str, Cut]) -> Query:
    """The rows of a ranking down to its cuts, with the columns of `ranked_rows`."""
    pools = "SELECT unnest(?::INTEGER[]) AS pool, unnest(?::BIGINT[]) AS last"
    sql = f"SELECT r.* FROM {ranked.table} r JOIN ({pools}) USING (pool) WHERE place <= last"
    return sql, [[pool.number for pool in ranked.pools.values()], [cuts[name].place for name in ranked.pools]]


def kept_by_domain(store: Store, ranked: Ranking, cuts: Mapping[str, Cut]) -> dict[str, Tally]:
    """What the cuts keep of each domain."""
    if not ranked.pooled:
        return {name: each.kept for name, each in cuts.items()}
    sql = f"SELECT domain, count(*), sum(token_count)::BIGINT FROM {ranked.table} WHERE place <= ? GROUP BY domain"
    names = list(ranked.eligible)
    found = {names[domain]: Tally(rows, tokens) for domain, rows, tokens in store.rows(sql, [cuts[POOL].place])}
    return {domain: found.get(domain, Tally()) for domain in names}


def outcomes(ranked: Ranking, kept: Mapping[str, Tally]) -> pd.DataFrame:
    """What becomes of all rows, one row a domain and outcome: domain, outcome, rows, tokens; most rows first."""
    parts = [(domain, KEPT, tally) for domain, tally in kept.items()]
    parts += [(domain, BELOW_THE_CUT, tally - kept[domain]) for domain, tally in ranked.eligible.items()]
    judged = [(domain, outcome, tally.rows, tally.tokens) for domain, outcome, tally in parts if tally.rows]
    found = pd.DataFrame([*judged, *ranked.left_out.itertuples(index=False, name=None)], columns=_OUTCOMES)
    found = found.astype({"rows": "int64", "tokens": "int64"})
    return found.sort_values(["domain", "rows", "outcome"], ascending=[True, False, True], ignore_index=True)


def _within_tokens(store: Store, ranked: Ranking, limits: Mapping[str, Budget]) -> dict[int, int]:
    """Rows of each pool that a budget in tokens takes, by the pool's number."""
    asked = {pool.number: limits[name].wanted for name, pool in ranked.pools.items() if limits[name].unit == "tokens"}
    if not asked:
        return {}
    sql = f"""
        WITH budget AS (SELECT unnest(?::BIGINT[]) AS pool, unnest(?::BIGINT[]) AS token_limit)
        SELECT pool, count(*) FROM {ranked.table} JOIN budget USING (pool)
        WHERE running_tokens <= token_limit GROUP BY pool
    """
    return dict(store.rows(sql, [list(asked), list(asked.values())]))
