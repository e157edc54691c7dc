"""Decisions: SQL that gives every row of a run a recipe's outcome: selected, or the reason why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.filters import Query
from ..data.scores import TEXT_FLAGS
from .budgets import POOL, Budget
from .recipe import ORDERS, Selection

KEPT = "kept"
BELOW_THE_CUT = "below the cut"
DUPLICATE = "duplicate of an eligible row"
NEAR_DUPLICATE = "near duplicate of an eligible row that ranks higher"
LEFT_OUT_BY_HAND = "left out by hand"
NOT_IN_A_PAIR = "not in a preference pair"
OTHER_SIDE = "the other row of its preference pair is left out"
RANKED_FLAGS = (*TEXT_FLAGS, "trained_on")
"""Flags that a ranking carries, to count them among selected rows without joining the scored table."""
_NO_LIMIT = 2**62
_OF_OTHER_SIDE = 10**6
"""The code of the objection that the other row of a pair met one."""
_RUNNING_TOKENS = "sum(token_count) OVER (ranking ROWS UNBOUNDED PRECEDING)"  # up to and with the row
_NO_SCORE = """coalesce(reason, CASE WHEN non_finite THEN 'non_finite' WHEN no_scored_token THEN 'no_scored_token'
    WHEN not_scored THEN 'not_scored' WHEN zero_base_loss THEN 'zero_base_loss' ELSE 'undefined' END)"""
_NO_PAIR_SCORE = f"""CASE WHEN pair IS NULL THEN '{NOT_IN_A_PAIR}'
    WHEN coalesce(reason, '') = '' AND NOT (non_finite OR no_scored_token OR not_scored OR zero_base_loss)
    THEN 'the other row of its preference pair has none' ELSE {_NO_SCORE} END"""


def decisions(
    selection: Selection,
    table: str,
    limits: Mapping[str, Budget],
    near_set: int | None = None,
    spread: Sequence[int] = (),
) -> Query:
    """The decision on every row of a scored table: row_number, example_id, domain, token_count, value (the recipe's
    score), picked (selected by hand), rank (from 1 among the eligible rows of its pool, else NULL; rows selected by
    hand rank first) and outcome.

    `limits` come from `budgets`. `near_set`: the store's near-duplicate search, if the recipe removes near-duplicates.
    `spread`: numbers of rows that come first, in this order (`core.selection.spread`).
    The first of these that applies decides: a hand pick, no score, a filter, an exact duplicate, a near-duplicate, the
    cut-off. Ties are broken by example_id, then row_number. By a score of preference pairs, a pair's rows follow one
    another in the rank of its chosen row, and both are selected or none.
    """
    pools: Query = ("budget ON pool = domain", []) if selection.scope == "domain" else ("budget ON pool = ?", [POOL])
    found = _eligible(selection, table, pools, "domain, pool_id", near_set, spread)
    # Not computed if no budget is in tokens.
    running = "0" if all(budget.unit == "rows" for budget in limits.values()) else _RUNNING_TOKENS
    of_pair = " OVER (PARTITION BY pair)" if selection.keeps_pairs else ""  # a pair ends where its second row does
    rank_end, tokens_end = (f"max({column}){of_pair}" if of_pair else column for column in ("rank", "running_tokens"))
    sql = f"""
        WITH budget AS (
            SELECT unnest(?::VARCHAR[]) AS pool, unnest(range({len(limits):d}))::INTEGER AS pool_id,
                unnest(?::BIGINT[]) AS row_limit, unnest(?::BIGINT[]) AS token_limit
        ),
        {found.sql},
        ranked AS (
            SELECT *, row_number() OVER ranking AS rank, {running} AS running_tokens
            FROM eligible
            WINDOW ranking AS (PARTITION BY pool_id ORDER BY {found.ranking})
        )
        SELECT row_number, example_id, domain, token_count, value, picked, rank,
            if(picked OR ({rank_end} <= row_limit AND {tokens_end} <= token_limit), '{KEPT}', '{BELOW_THE_CUT}')
                AS outcome
        FROM ranked JOIN budget USING (pool_id)
        {found.near_duplicates}
        UNION ALL
        SELECT row_number, example_id, domain, token_count, value, picked, NULL, {found.reasons} AS outcome
        FROM judged WHERE objection > 0
    """
    # Lists, because a statement with a parameter for each of thousands of domains takes seconds to parse.
    row_limits, token_limits = (
        [budget.wanted if budget.unit == unit else _NO_LIMIT for budget in limits.values()]
        for unit in ("rows", "tokens")
    )
    return sql, [list(limits), row_limits, token_limits, *found.values]


def ranked_rows(
    selection: Selection,
    table: str,
    domains: Sequence[str],
    near_set: int | None = None,
    spread: Sequence[int] = (),
) -> Query:
    """The rows that `decisions` ranks, whatever the amounts: place (from 1, over all pools in their order), pool and
    domain (their numbers, from 0 in the order of `domains`; the one pool of the pooled scope is 0), rank (from 1 in the
    pool), running_tokens (of the pool, up to and with the row), row_number, token_count, value, picked and
    `RANKED_FLAGS`."""
    pool = "domain_number" if selection.scope == "domain" else "0"
    columns = f"domain_number, {pool} AS pool_id"
    found = _eligible(selection, table, ("known USING (domain)", []), columns, near_set, spread)
    sql = f"""
        WITH known AS (
            SELECT unnest(?::VARCHAR[]) AS domain, unnest(range({len(domains):d}))::INTEGER AS domain_number
        ),
        {found.sql}
        SELECT row_number() OVER () AS place, * FROM (
            SELECT pool_id AS pool, domain_number AS domain, row_number() OVER ranking AS rank,
                {_RUNNING_TOKENS}::BIGINT AS running_tokens, row_number, token_count, value, picked,
                {", ".join(RANKED_FLAGS)}
            FROM eligible WINDOW ranking AS (PARTITION BY pool_id ORDER BY {found.ranking}) ORDER BY pool, rank
        )
    """
    return sql, [list(domains), *found.values]


def left_out(selection: Selection, table: str) -> Query:
    """Counts of ineligible rows by reason, without near-duplicates: domain, outcome, rows, tokens."""
    judged, reasons, values = _judged(selection, table)
    sql = f"""
        SELECT domain, {reasons} AS outcome, count(*) AS rows, sum(token_count)::BIGINT AS tokens
        FROM ({judged}) WHERE objection > 0 GROUP BY ALL
    """
    return sql, values


def objections(selection: Selection, table: str, row_numbers: Sequence[int]) -> Query:
    """The objections to some rows: row_number, domain, value (the recipe's score) and outcome (NULL where there is
    none, which leaves being a near-duplicate)."""
    judged, reasons, values = _judged(selection, table, "WHERE row_number IN (SELECT unnest(?::BIGINT[]))")
    return f"SELECT row_number, domain, value, {reasons} FROM ({judged})", [*values, list(row_numbers)]


@dataclass(frozen=True, slots=True)
class _Eligible:
    """SQL of the tables `judged` (every row with value, picked and objection), `scored` (rows without an objection) and
    `eligible` (`scored` without near-duplicates of a better row), with their parameters; the sort key of `eligible`
    (`ranking`); SQL of the reason for an objection (`reasons`); and SQL of the removed near-duplicates, for a union."""

    sql: str
    values: list[Any]
    ranking: str
    reasons: str
    near_duplicates: str


def _eligible(
    selection: Selection, table: str, joined: Query, columns: str, near_set: int | None, spread: Sequence[int]
) -> _Eligible:
    """The rows that can be ranked: the table's rows joined to their pools, with the given `columns` of the pools."""
    order = ORDERS[selection.order]
    judged, reasons, judged_values = _judged(selection, table, f"JOIN {joined[0]}")
    picks = [pick for pick in selection.picks if pick.keep]
    scored = f"""
        SELECT row_number, example_id, token_count, value, picked, {columns}, {order.sql} AS sort_key,
            {", ".join(RANKED_FLAGS)}{", pair, side" if selection.keeps_pairs else ""}
        FROM judged WHERE objection = 0
    """
    # Only with picks, because a longer sort key slows down every row.
    first = "picked DESC, " if picks else ""
    ranking = f"{first}sort_key, example_id, row_number"
    if selection.keeps_pairs:
        # Both rows of a pair rank as its chosen one; pairs are whole here.
        ranking = f"{first}sort_key, chosen_id, pair, row_number"
        scored = f"""
            WITH sides AS MATERIALIZED ({scored})
            SELECT sides.* REPLACE (chosen.sort_key AS sort_key), chosen.example_id AS chosen_id
            FROM sides JOIN (SELECT pair, sort_key, example_id FROM sides WHERE side = 'chosen') chosen USING (pair)
        """
    is_banded = selection.length_bands > 1
    unique, near_duplicates, near_values = _without_near_duplicates(
        near_set, ranking, "unbanded" if is_banded else "unspread" if spread else "eligible"
    )
    if spread:
        unique += f""", spread AS (
            SELECT unnest(?::BIGINT[]) AS row_number, unnest(range({len(spread):d})) AS spread_place
        ), eligible AS (FROM unspread LEFT JOIN spread USING (row_number))"""
        near_values = [*near_values, list(spread)]
        ranking = f"{first}spread_place NULLS LAST, {ranking}"
    if is_banded:
        unique += f", {_banded(selection.length_bands, ranking)}"
        ranking = f"{first}share_above, {ranking}"
    sql = f"""
        judged AS ({judged}),
        scored AS ({scored}),
        {unique}
    """
    seeds = [str(selection.seed)] * order.sql.count("?")
    values = [*judged_values, *joined[1], *seeds, *near_values]
    return _Eligible(sql, values, ranking, reasons, near_duplicates)


def _judged(selection: Selection, table: str, more: str = "") -> tuple[str, str, list[Any]]:
    """SQL of the rows of a table (`more`: what stands behind its name) with value, picked and objection; SQL of the
    reason for an objection; and the parameters of the former, those of `more` to come last."""
    objection, reasons, values = _objection(selection, table)
    picked, picked_values = _picked(selection, table, keep=True)
    sql = f"SELECT *, {selection.value_sql} AS value, {picked} AS picked, {objection} AS objection FROM {table} {more}"
    if not selection.keeps_pairs:
        return sql, reasons, [*picked_values, *values]
    # Not a window over each pair, which would sort all rows.
    left_out = f"SELECT pair FROM {table} WHERE pair IS NOT NULL AND ({objection}) > 0"
    sql = f"""
        SELECT * REPLACE (if(objection = 0 AND pair IN ({left_out}), {_OF_OTHER_SIDE:d}, objection) AS objection)
        FROM ({sql})
    """
    reasons = f"if(objection = {_OF_OTHER_SIDE:d}, '{OTHER_SIDE}', {reasons})"
    return sql, reasons, [*values, *picked_values, *values]


def _objection(selection: Selection, table: str) -> tuple[str, str, list[Any]]:
    """SQL of an integer code for the first objection to a row (0: eligible), SQL that turns the code into its reason,
    and the parameters of the former. Codes keep text out of the ranking."""
    cases: list[str] = []
    reasons: list[str] = []
    values: list[Any] = []

    def object_to(condition: str, parameters: list[Any], reason: str) -> None:
        cases.append(f"WHEN {condition} THEN {len(cases) + 1}")
        reasons.append(f"WHEN {len(cases)} THEN {reason}")
        values.extend(parameters)

    left_out, pick_values = _picked(selection, table, keep=False)
    if pick_values:
        object_to(left_out, pick_values, f"'{LEFT_OUT_BY_HAND}'")
    # The only objection to a row picked by hand is that it is an exact duplicate.
    picked, pick_values = _picked(selection, table, keep=True)
    unless = f"NOT {picked} AND " if pick_values else ""
    no_score = _NO_PAIR_SCORE if selection.keeps_pairs else _NO_SCORE
    object_to(f"{unless}{selection.value_sql} IS NULL", pick_values, f"'no score: ' || {no_score}")
    for reason, (condition, parameters) in selection.filter.conditions():
        object_to(f"{unless}NOT ({condition})", pick_values + parameters, f"'{reason}'")
    if selection.collapse_duplicates:
        condition, parameters = _duplicate(selection, table)
        if pick_values and not selection.keeps_pairs:
            condition = f"if({picked}, duplicate_of IS NOT NULL, {condition})"
            parameters = pick_values + parameters
        object_to(condition, parameters, f"'{DUPLICATE}'")
    return f"CASE {' '.join(cases)} ELSE 0 END", f"CASE objection {' '.join(reasons)} END", values


def _picked(selection: Selection, table: str, keep: bool) -> Query:
    """Whether a row was picked by hand, or the other one of its pair if whole pairs are selected."""
    ids = [pick.example_id for pick in selection.picks if pick.keep is keep]
    picked = "example_id IN (SELECT unnest(?::UUID[]))"
    if selection.keeps_pairs:
        picked = f"coalesce(pair IN (SELECT pair FROM {table} WHERE pair IS NOT NULL AND {picked}), false)"
    return (picked, [ids]) if ids else ("false", [])


def _duplicate(selection: Selection, table: str) -> Query:
    """Whether an eligible row repeats an earlier eligible one. Identical conversations share losses and text, so only a
    filter on domains or on the duplicate flag can pass one of them and not the other."""
    passes: list[str] = []
    values: list[Any] = []
    if selection.filter.domains:
        condition, values = selection.filter.domain_condition()
        passes.append(condition)
    if selection.keeps_pairs:  # a pair repeats another one if both of its rows do
        of_domains = "".join(f" AND {condition}" for condition in passes)
        pairs = f"""
            SELECT pair, list(example_id ORDER BY side) AS sides FROM {table} WHERE pair IS NOT NULL{of_domains}
            GROUP BY pair
        """
        return f"pair NOT IN (SELECT min(pair) FROM ({pairs}) GROUP BY sides)", values
    if "duplicate" in selection.filter.with_flags:
        passes.append("duplicate")
    if not passes:
        return "duplicate_of IS NOT NULL", []
    first = f"SELECT min(row_number) FROM {table} WHERE {' AND '.join(passes)} GROUP BY example_id"
    return f"row_number NOT IN ({first})", values


def _banded(bands: int, ranking: str) -> str:
    """SQL of the eligible rows with `share_above`: a row's rank within its band of length, over the band's rows. Sorted
    by it, every band gives the same share of its rows. Equal lengths are in one band."""
    return f"""
        in_bands AS (
            SELECT *, (rank() OVER (PARTITION BY pool_id ORDER BY token_count) - 1) * {bands:d}
                // count(*) OVER (PARTITION BY pool_id) AS band
            FROM unbanded
        ),
        eligible AS (
            SELECT *, row_number() OVER (PARTITION BY pool_id, band ORDER BY {ranking})
                / count(*) OVER (PARTITION BY pool_id, band) AS share_above
            FROM in_bands
        )
    """


def _without_near_duplicates(near_set: int | None, ranking: str, name: str) -> tuple[str, str, list[Any]]:
    """SQL of the table `name` of eligible rows, of the near-duplicates of a better row of their group, and
    parameters."""
    if near_set is None:
        return f"{name} AS (FROM scored)", "", []
    # Only rows in groups are ranked within their group; they are few, and sorting all rows again would be slow.
    eligible = f"""
        near_duplicates_of_better AS (
            SELECT row_number FROM scored JOIN near_duplicate USING (example_id) WHERE near_duplicate_set_id = ?
            QUALIFY row_number() OVER (PARTITION BY group_number ORDER BY {ranking}) > 1 AND NOT picked
        ),
        {name} AS (FROM scored WHERE row_number NOT IN (FROM near_duplicates_of_better))
    """
    others = f"""
        UNION ALL
        SELECT row_number, example_id, domain, token_count, value, picked, NULL, '{NEAR_DUPLICATE}'
        FROM scored WHERE row_number IN (FROM near_duplicates_of_better)
    """
    return eligible, others, [near_set]
