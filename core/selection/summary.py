"""Summarises a recipe's result: totals, rows near the cut-off, and matched controls."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from ..data.filters import Query
from ..data.snippets import snippet_ctes
from ..store import Store
from .budgets import POOL, Budget, budgets
from .decisions import BELOW_THE_CUT, KEPT, decisions
from .near_search import near_search
from .pools import PoolSummary, capped_notices, shortfall_notices, spread_notices
from .ranking import Cut, Ranking, cut, kept_by_domain, outcomes, ranking
from .recipe import Amount, Selection
from .scored_run import ScoredRun, scored_run
from .spread import spread_rows


@dataclass(frozen=True, slots=True)
class Summary:
    """What a recipe selects. `pools`: the rows ranked together. `domains`, one row per domain: domain, rows, tokens,
    kept_rows, kept_tokens. `outcomes`, one row per domain and outcome: domain, outcome, rows, tokens. `picked_rows`:
    rows selected by hand. `lost_picks`: picks of conversations that the dataset does not have.
    `near_duplicates_stale`: rows were added after the near-duplicate search that the recipe uses. `shortfalls`: a
    sentence for an amount of which less than half is selected, because it is divided among too many domains."""

    pools: tuple[PoolSummary, ...]
    domains: pd.DataFrame
    outcomes: pd.DataFrame
    picked_rows: int = 0
    lost_picks: int = 0
    near_duplicates_stale: bool = False
    shortfalls: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """All rows of the dataset."""
        return int(self.domains["rows"].sum())

    @property
    def tokens(self) -> int:
        """All scored tokens of the dataset."""
        return int(self.domains["tokens"].sum())

    @property
    def kept_rows(self) -> int:
        """Selected rows."""
        return int(self.domains["kept_rows"].sum())

    @property
    def kept_tokens(self) -> int:
        """Scored tokens of the selected rows."""
        return int(self.domains["kept_tokens"].sum())

    @property
    def dropped_rows(self) -> int:
        """Rows not selected, for any reason."""
        return self.rows - self.kept_rows

    @property
    def dropped_tokens(self) -> int:
        """Scored tokens of the rows not selected."""
        return self.tokens - self.kept_tokens

    @property
    def notices(self) -> list[str]:
        """A sentence for each request that could not be met."""
        found = [*self.shortfalls, *capped_notices(self.pools)]
        if self.lost_picks:
            found.append(f"Hand picks of rows that are not in this dataset: {self.lost_picks:,}.")
        if self.near_duplicates_stale:
            found.append("The near-duplicate search is older than some of the rows. Search again to include them.")
        return found

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, for a saved selection or a manifest."""
        return {
            "kept_rows": self.kept_rows,
            "kept_tokens": self.kept_tokens,
            "dropped_rows": self.dropped_rows,
            "dropped_tokens": self.dropped_tokens,
            "pools": [{**asdict(pool), "capped": pool.capped} for pool in self.pools],
            "domains": self.domains.to_dict("records"),
            "outcomes": self.outcomes.to_dict("records"),
            "picked_rows": self.picked_rows,
            "notices": self.notices,
        }


def row_decisions(store: Store, selection: Selection) -> Query:
    """`decisions` for a recipe and the current state of the store.

    Raises `NotFound` if the run or the recipe's near-duplicate search does not exist, and `SelectionInvalid` for an
    invalid search pattern.
    """
    run = scored_run(store, selection.run)
    selection = replace(selection, filter=store.searched(selection.filter))
    search = near_search(store, selection, run)
    near_set = search.near_duplicate_set_id if search else None
    spread = spread_rows(store, selection, run, near_set)
    return decisions(selection, run.table, budgets(selection, run.totals), near_set, spread)


def select_summary(store: Store, selection: Selection, run: ScoredRun | None = None) -> Summary:
    """The summary of a recipe. `run`: the recipe's run, if already loaded. Raises as `row_decisions` does, which makes
    the same decisions row by row."""
    run = run or scored_run(store, selection.run)
    limits = budgets(selection, run.totals)
    with ranking(store, selection, run) as ranked:
        cuts = cut(store, ranked, limits)
        kept = kept_by_domain(store, ranked, cuts)
    domains = pd.DataFrame(
        [(d, rows, tokens, kept[d].rows, kept[d].tokens) for d, (rows, tokens) in run.totals.items()],
        columns=["domain", "rows", "tokens", "kept_rows", "kept_tokens"],
    )
    has_cut = selection.has_score_cut
    pools = tuple(_pool_summary(limits[name], name, ranked, cuts[name], has_cut, run) for name in ranked.pools)
    picked = sum(pool.picked for pool in ranked.pools.values())
    lost = _lost_picks(store, selection, run.table)
    search = near_search(store, selection, run)
    stale = search is not None and search.stale
    shortfalls = (*shortfall_notices(selection, pools), *spread_notices(selection, pools))
    return Summary(pools, domains, outcomes(ranked, kept), picked, lost, stale, shortfalls)


def _lost_picks(store: Store, selection: Selection, table: str) -> int:
    if not selection.picks:
        return 0
    ids = [pick.example_id for pick in selection.picks]
    sql = f"SELECT count(DISTINCT example_id) FROM {table} WHERE example_id IN (SELECT unnest(?::UUID[]))"
    return len(ids) - int(store.rows(sql, [ids])[0][0])


def near_the_cut(
    store: Store, selection: Selection, domain: str, count: int = 5, run: ScoredRun | None = None
) -> pd.DataFrame:
    """The last `count` selected rows of a domain and the first `count` not selected, best first: outcome, rank,
    row_number, value, base_loss, reference_loss, token_count, and the start of prompt and response."""
    run = run or scored_run(store, selection.run)
    limits = budgets(selection, run.totals)
    with ranking(store, selection, run) as ranked:
        at = cut(store, ranked, limits)[POOL if ranked.pooled else domain].place
        of_domain = f"SELECT row_number, rank, place FROM {ranked.table} WHERE domain = ? AND place"
        number = list(ranked.eligible).index(domain)
        return store.frame(
            f"""
            WITH inside AS ({of_domain} <= ? ORDER BY place DESC LIMIT {count:d}),
            outside AS ({of_domain} > ? ORDER BY place LIMIT {count:d}),
            nearest AS MATERIALIZED (
                SELECT *, '{KEPT}' AS outcome FROM inside UNION ALL SELECT *, '{BELOW_THE_CUT}' FROM outside
            ),
            row_place AS MATERIALIZED (
                SELECT rowid AS place FROM {run.table} WHERE row_number IN (SELECT row_number FROM nearest)
            ),
            shown AS MATERIALIZED (SELECT * FROM {run.table} WHERE rowid IN (SELECT place FROM row_place)),
            {snippet_ctes("shown")}
            SELECT outcome, rank, row_number, {selection.value_sql} AS value, base_loss, reference_loss, token_count,
                prompt, response
            FROM nearest JOIN shown USING (row_number) JOIN beginning USING (example_id)
            ORDER BY rank
            """,
            [number, at, number, at],
        )


def kept_rows(store: Store, selection: Selection) -> Query:
    """The selected rows in dataset order: row_number, example_id, domain, token_count, value, rank."""
    sql, values = row_decisions(store, selection)
    return f"SELECT * EXCLUDE (outcome) FROM ({sql}) WHERE outcome = '{KEPT}' ORDER BY row_number", values


def matched_control(selection: Selection, summary: Summary, order: str) -> Selection:
    """The same recipe with another order and the same tokens per domain as `selection`, so that training on both
    compares the choice and not the amount. Rows excluded by hand stay excluded; picked rows are not forced in, because
    picking is part of the choice, and so are length bands and a spread."""
    kept = zip(summary.domains["domain"], summary.domains["kept_tokens"], strict=True)
    amounts = {domain: Amount("tokens", int(tokens)) for domain, tokens in kept}
    return replace(
        selection,
        order=order,
        scope="domain",
        amount=Amount("tokens", 0),
        domain_amounts=amounts,
        weights={},
        length_bands=0,
        spread=None,
        picks=tuple(pick for pick in selection.picks if not pick.keep),
    )


def _pool_summary(limit: Budget, name: str, ranked: Ranking, cut_at: Cut, has_cut: bool, run: ScoredRun) -> PoolSummary:
    sizes = run.totals.values() if ranked.pooled else [run.totals[name]]
    eligible = ranked.pools[name].eligible
    return PoolSummary(
        name,
        limit.unit,
        limit.wanted,
        sum(rows for rows, _ in sizes),
        sum(tokens for _, tokens in sizes),
        eligible.rows,
        eligible.tokens,
        cut_at.kept.rows,
        cut_at.kept.tokens,
        cut_at.value if has_cut else None,
    )
