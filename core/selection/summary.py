"""Which rows of a run a recipe keeps: what that adds up to, the rows near the cut, and saved recipes compared."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from core.errors import SelectionInvalid
from core.filters import Query
from core.selection.budgets import Budget, budgets
from core.selection.decisions import BELOW_THE_CUT, KEPT, decisions
from core.selection.recipe import ORDERS, Amount, Selection
from core.store import Store, near_duplicate_set_id, save_recipe, saved_recipe


@dataclass(frozen=True, slots=True)
class PoolSummary:
    """One pool's part. `rows` and `tokens` are all there are, `eligible_*` those that could be kept; `capped` says
    that fewer are eligible than `wanted`; `cut_value` is the score of the last kept row, None where the order does
    not rank by it."""

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
    def capped(self) -> bool:
        """Whether more was wanted than there is, so that everything eligible is kept."""
        return self.available < self.wanted


@dataclass(frozen=True, slots=True)
class Summary:
    """What a recipe keeps. `pools` are what was ranked together; `domains` has one row a domain: domain, rows,
    tokens, kept_rows, kept_tokens; `outcomes` one row a domain and outcome: domain, outcome, rows, tokens.
    `picked_rows` were kept by hand; `lost_picks` name a conversation that the dataset does not hold."""

    pools: tuple[PoolSummary, ...]
    domains: pd.DataFrame
    outcomes: pd.DataFrame
    picked_rows: int = 0
    lost_picks: int = 0

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
        """Rows kept."""
        return int(self.domains["kept_rows"].sum())

    @property
    def kept_tokens(self) -> int:
        """Scored tokens kept."""
        return int(self.domains["kept_tokens"].sum())

    @property
    def dropped_rows(self) -> int:
        """Rows left out, for whatever reason."""
        return self.rows - self.kept_rows

    @property
    def dropped_tokens(self) -> int:
        """Scored tokens left out."""
        return self.tokens - self.kept_tokens

    @property
    def notices(self) -> list[str]:
        """What a person has to know: one sentence for each request that could not be met."""
        found = [
            f"{pool.pool or 'All domains together'}: {pool.available:,} of {pool.wanted:,} {pool.unit} wanted; "
            "that is all there is to keep."
            for pool in self.pools
            if pool.capped
        ]
        if self.lost_picks:
            found.append(f"{self.lost_picks:,} of the hand picks name rows that this dataset does not hold.")
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


def domain_totals(store: Store, table: str) -> dict[str, tuple[int, int]]:
    """Rows and scored tokens of every domain of a scored table, by name."""
    sql = f"SELECT domain, count(*), sum(token_count)::BIGINT FROM {table} GROUP BY domain ORDER BY domain"
    return {domain: (rows, tokens) for domain, rows, tokens in store.rows(sql)}


def row_decisions(store: Store, selection: Selection) -> Query:
    """`decisions` for a recipe as the store stands. Raises `NotFound` if its run, or the search for near duplicates
    that it names, is not there, and `SelectionInvalid` for a search pattern that cannot be read."""
    return _decisions(store, selection, domain_totals(store, store.run(selection.run)["table"]))


def _decisions(store: Store, selection: Selection, totals: Mapping[str, tuple[int, int]]) -> Query:
    run = store.run(selection.run)
    store.check_search(selection.filter.search)
    threshold = selection.near_duplicates
    near_set = None if threshold is None else near_duplicate_set_id(store, run["dataset"], threshold)
    return decisions(selection, run["table"], budgets(selection, totals), near_set)


def select_summary(store: Store, selection: Selection) -> Summary:
    """What a recipe keeps and leaves out, in one pass over the run's rows."""
    table = store.run(selection.run)["table"]
    totals = domain_totals(store, table)
    limits = budgets(selection, totals)
    sql, values = _decisions(store, selection, totals)
    outcomes = store.frame(
        f"""
        SELECT domain, outcome, count(*) AS rows, sum(token_count)::BIGINT AS tokens,
            max(rank) FILTER (NOT picked) AS last_rank, arg_max(value, rank) FILTER (NOT picked) AS last_value,
            count_if(picked) AS picked
        FROM ({sql}) GROUP BY ALL ORDER BY domain, rows DESC, outcome
        """,
        values,
    )
    kept = outcomes[outcomes["outcome"] == KEPT].set_index("domain")
    domains = pd.DataFrame(
        [
            (d, rows, tokens, int(kept["rows"].get(d, 0)), int(kept["tokens"].get(d, 0)))
            for d, (rows, tokens) in totals.items()
        ],
        columns=["domain", "rows", "tokens", "kept_rows", "kept_tokens"],
    )
    pools = tuple(_pool_summary(selection, pool, budget, outcomes, totals) for pool, budget in limits.items())
    picked = int(kept["picked"].sum())
    lost = _lost_picks(store, selection, table)
    return Summary(pools, domains, outcomes[["domain", "outcome", "rows", "tokens"]], picked, lost)


def _lost_picks(store: Store, selection: Selection, table: str) -> int:
    if not selection.picks:
        return 0
    ids = [pick.example_id for pick in selection.picks]
    sql = f"SELECT count(DISTINCT example_id) FROM {table} WHERE example_id IN (SELECT unnest(?::UUID[]))"
    return len(ids) - int(store.rows(sql, [ids])[0][0])


def near_the_cut(store: Store, selection: Selection, domain: str, count: int = 5) -> pd.DataFrame:
    """The `count` rows of a domain just inside the cut and as many just outside, best first: outcome, rank,
    row_number, value, base_loss, reference_loss, token_count, prompt, response."""
    table = store.run(selection.run)["table"]
    sql, values = row_decisions(store, selection)
    return store.frame(
        f"""
        WITH nearest AS (
            SELECT row_number, rank, outcome FROM ({sql}) WHERE domain = ? AND rank IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY outcome ORDER BY if(outcome = '{KEPT}', -rank, rank)) <= ?
        )
        SELECT outcome, rank, row_number, {selection.score} AS value, base_loss, reference_loss, token_count,
            prompt, response
        FROM nearest JOIN {table} USING (row_number) JOIN example USING (example_id)
        ORDER BY rank
        """,
        [*values, domain, count],
    )


def kept_rows(store: Store, selection: Selection) -> Query:
    """Kept rows in the dataset's order: row_number, example_id, domain, token_count, value, rank."""
    sql, values = row_decisions(store, selection)
    return f"SELECT * EXCLUDE (outcome) FROM ({sql}) WHERE outcome = '{KEPT}' ORDER BY row_number", values


def overlap(store: Store, first: Selection, second: Selection) -> pd.DataFrame:
    """How two selections of one dataset agree: domain, both, only_first, only_second (rows) and jaccard (rows in
    both, over rows in either; NaN where neither keeps any), a row for each domain and one named "all".

    Raises `SelectionInvalid` if the two are of different datasets, whose rows cannot be compared.
    """
    datasets = [store.run(selection.run)["dataset"] for selection in (first, second)]
    if datasets[0] != datasets[1]:
        raise SelectionInvalid(
            f"The selections are of different datasets ({datasets[0]} and {datasets[1]}). Choose two of one dataset."
        )
    (first_sql, first_values), (second_sql, second_values) = kept_rows(store, first), kept_rows(store, second)
    found = store.frame(
        f"""
        SELECT coalesce(domain, 'all') AS domain,
            count(*) FILTER (a.row_number IS NOT NULL AND b.row_number IS NOT NULL) AS both,
            count(*) FILTER (b.row_number IS NULL) AS only_first,
            count(*) FILTER (a.row_number IS NULL) AS only_second
        FROM (SELECT row_number, domain FROM ({first_sql})) a
        FULL JOIN (SELECT row_number, domain FROM ({second_sql})) b USING (row_number, domain)
        GROUP BY GROUPING SETS ((domain), ()) ORDER BY grouping(domain), domain
        """,
        [*first_values, *second_values],
    )
    found["jaccard"] = found["both"] / (found["both"] + found["only_first"] + found["only_second"])
    return found


def matched_control(selection: Selection, summary: Summary, order: str) -> Selection:
    """The same recipe in another order, with as many tokens as `selection` keeps of each domain, so that training on
    the two compares the choice and not the amount. What a person left out stays out; what one picked is a choice, so a
    control does not have it."""
    kept = zip(summary.domains["domain"], summary.domains["kept_tokens"], strict=True)
    amounts = {domain: Amount("tokens", int(tokens)) for domain, tokens in kept}
    return replace(
        selection,
        order=order,
        scope="domain",
        amount=Amount("tokens", 0),
        domain_amounts=amounts,
        weights={},
        picks=tuple(pick for pick in selection.picks if not pick.keep),
    )


def save_selection(store: Store, name: str, selection: Selection, replace_existing: bool = False) -> Summary:
    """Save a recipe with what it keeps now. Raises `SelectionInvalid` for an empty name, `NameTaken` if the name
    holds another recipe, unless `replace_existing`."""
    if not name.strip():
        raise SelectionInvalid("The selection has no name. Give it one.")
    summary = select_summary(store, selection)
    save_recipe(store, name.strip(), selection.to_fields(), summary.to_fields(), replace=replace_existing)
    return summary


def saved_selection(store: Store, name: str) -> Selection:
    """The recipe saved under a name. Raises `NotFound` naming those there are."""
    return Selection.from_fields(saved_recipe(store, name))


def saved_selection_names(store: Store) -> list[str]:
    """Names of the saved recipes, last saved first."""
    return [name for (name,) in store.rows("SELECT name FROM selection ORDER BY created_at DESC, name")]


def _pool_summary(
    selection: Selection, pool: str, budget: Budget, outcomes: pd.DataFrame, totals: Mapping[str, tuple[int, int]]
) -> PoolSummary:
    mine = outcomes if selection.scope == "pooled" else outcomes[outcomes["domain"] == pool]
    kept = mine[mine["outcome"] == KEPT]
    eligible = mine[mine["outcome"].isin([KEPT, BELOW_THE_CUT])]
    sizes = totals.values() if selection.scope == "pooled" else [totals[pool]]
    ranked = kept.dropna(subset=["last_rank", "last_value"]).sort_values("last_rank")
    cuts = ranked["last_value"].tolist() if ORDERS[selection.order].by_score else []
    return PoolSummary(
        pool,
        budget.unit,
        budget.wanted,
        sum(rows for rows, _ in sizes),
        sum(tokens for _, tokens in sizes),
        int(eligible["rows"].sum()),
        int(eligible["tokens"].sum()),
        int(kept["rows"].sum()),
        int(kept["tokens"].sum()),
        float(cuts[-1]) if cuts else None,
    )
