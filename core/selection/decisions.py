"""Decisions: SQL that says of every row of a run whether a recipe keeps it, and if not, why."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.filters import Query
from core.selection.budgets import POOL, Budget
from core.selection.recipe import ORDERS, Selection

KEPT = "kept"
BELOW_THE_CUT = "below the cut"
DUPLICATE = "duplicate of an eligible row"
NEAR_DUPLICATE = "near duplicate of an eligible row that ranks higher"
LEFT_OUT_BY_HAND = "left out by hand"
_NO_LIMIT = 2**62
_NO_SCORE = """coalesce(reason, CASE WHEN non_finite THEN 'non_finite' WHEN no_scored_token THEN 'no_scored_token'
    WHEN not_scored THEN 'not_scored' WHEN zero_base_loss THEN 'zero_base_loss' ELSE 'undefined' END)"""


def decisions(selection: Selection, table: str, limits: Mapping[str, Budget], near_set: int | None = None) -> Query:
    """What becomes of every row of a scored table, one row each: row_number, example_id, domain, token_count, value
    (the recipe's score), picked (kept by hand), rank (from 1 among the eligible rows of its pool, else NULL; rows
    kept by hand rank first) and outcome.

    `limits` come from `budgets`; `near_set` is the store's search for near duplicates where the recipe collapses
    them. A row is judged by the first that applies: a hand pick, no score, a filter, a duplicate, a near duplicate,
    the cut. Ties are broken by example_id, then row_number.
    """
    order = ORDERS[selection.order]
    objection, reasons, objection_values = _objection(selection, table)
    picked, picked_values = _picked(selection, keep=True)
    ranking = _ranking_key(bool(picked_values))
    marks = ", ".join("(?::VARCHAR, ?::INTEGER, ?::BIGINT, ?::BIGINT)" for _ in limits)
    eligible, others, near_values = _eligible(near_set, ranking)
    sql = f"""
        WITH budget(pool, pool_id, row_limit, token_limit) AS (VALUES {marks}),
        judged AS (
            SELECT *, {selection.score} AS value, {picked} AS picked, {objection} AS objection
            FROM {table} JOIN budget ON pool = {"domain" if selection.scope == "domain" else "?"}
        ),
        scored AS (
            SELECT row_number, example_id, domain, token_count, value, picked, pool_id, {order.sql} AS sort_key
            FROM judged WHERE objection = 0
        ),
        {eligible},
        ranked AS (
            SELECT *, row_number() OVER ranking AS rank, {_running(limits)} AS running_tokens
            FROM eligible
            WINDOW ranking AS (PARTITION BY pool_id ORDER BY {ranking})
        )
        SELECT row_number, example_id, domain, token_count, value, picked, rank,
            if(picked OR (rank <= row_limit AND running_tokens <= token_limit), '{KEPT}', '{BELOW_THE_CUT}') AS outcome
        FROM ranked JOIN budget USING (pool_id)
        {others}
        UNION ALL
        SELECT row_number, example_id, domain, token_count, value, picked, NULL, {reasons} AS outcome
        FROM judged WHERE objection > 0
    """
    values: list[Any] = []
    for pool_id, (pool, budget) in enumerate(limits.items()):
        by_rows = budget.unit == "rows"
        values += [pool, pool_id, budget.wanted if by_rows else _NO_LIMIT, _NO_LIMIT if by_rows else budget.wanted]
    values += picked_values + objection_values
    values += [POOL] if selection.scope == "pooled" else []
    values += [str(selection.seed)] * order.sql.count("?")
    values += near_values
    return sql, values


def ranked_rows(selection: Selection, table: str, domains: Sequence[str], near_set: int | None = None) -> Query:
    """The rows that `decisions` ranks, whatever the amounts: place (from 1, over all pools in their order), pool and
    domain (their numbers, from 0 in the order of `domains`; the one pool of the pooled scope is 0), rank (from 1 in the
    pool), running_tokens (of the pool, up to and with the row), row_number, token_count, value, picked."""
    order = ORDERS[selection.order]
    objection, _, objection_values = _objection(selection, table)
    picked, picked_values = _picked(selection, keep=True)
    ranking = _ranking_key(bool(picked_values))
    eligible, _, near_values = _eligible(near_set, ranking)
    sql = f"""
        WITH known(domain, domain_number) AS (VALUES {", ".join("(?::VARCHAR, ?::INTEGER)" for _ in domains)}),
        judged AS (SELECT *, {selection.score} AS value, {picked} AS picked, {objection} AS objection FROM {table}),
        scored AS (
            SELECT {"domain_number" if selection.scope == "domain" else "0"} AS pool_id, domain_number, row_number,
                example_id, token_count, value, picked, {order.sql} AS sort_key
            FROM judged JOIN known USING (domain) WHERE objection = 0
        ),
        {eligible}
        SELECT row_number() OVER () AS place, * FROM (
            SELECT pool_id AS pool, domain_number AS domain, row_number() OVER ranking AS rank,
                sum(token_count) OVER (ranking ROWS UNBOUNDED PRECEDING)::BIGINT AS running_tokens,
                row_number, token_count, value, picked
            FROM eligible WINDOW ranking AS (PARTITION BY pool_id ORDER BY {ranking}) ORDER BY pool, rank
        )
    """
    numbered = [value for number, domain in enumerate(domains) for value in (domain, number)]
    seeds = [str(selection.seed)] * order.sql.count("?")
    return sql, [*numbered, *picked_values, *objection_values, *seeds, *near_values]


def left_out(selection: Selection, table: str) -> Query:
    """How many rows meet an objection of `decisions`, near duplicates aside: domain, outcome, rows, tokens."""
    objection, reasons, values = _objection(selection, table)
    sql = f"""
        SELECT domain, {reasons} AS outcome, count(*) AS rows, sum(token_count)::BIGINT AS tokens
        FROM (SELECT *, {objection} AS objection FROM {table}) WHERE objection > 0 GROUP BY ALL
    """
    return sql, values


def _ranking_key(by_hand: bool) -> str:
    # Only where somebody picked a row: a longer sort key costs every row.
    return ("picked DESC, " if by_hand else "") + "sort_key, example_id, row_number"


def _objection(selection: Selection, table: str) -> tuple[str, str, list[Any]]:
    """SQL of a small code for the first objection to a row (0: eligible), SQL that turns the code into its reason
    for the rows that have one, and the parameters of the first. Codes keep text out of the ranking."""
    cases: list[str] = []
    reasons: list[str] = []
    values: list[Any] = []

    def object_to(condition: str, parameters: list[Any], reason: str) -> None:
        cases.append(f"WHEN {condition} THEN {len(cases) + 1}")
        reasons.append(f"WHEN {len(cases)} THEN {reason}")
        values.extend(parameters)

    left_out, pick_values = _picked(selection, keep=False)
    if pick_values:
        object_to(left_out, pick_values, f"'{LEFT_OUT_BY_HAND}'")
    # What was picked by hand meets no objection but that it stands there twice.
    picked, pick_values = _picked(selection, keep=True)
    unless = f"NOT {picked} AND " if pick_values else ""
    object_to(f"{unless}{selection.score} IS NULL", pick_values, f"'no score: ' || {_NO_SCORE}")
    for reason, (condition, parameters) in selection.filter.conditions():
        object_to(f"{unless}NOT ({condition})", pick_values + parameters, f"'{reason}'")
    if selection.collapse_duplicates:
        condition, parameters = _duplicate(selection, table)
        if pick_values:
            condition = f"if({picked}, duplicate_of IS NOT NULL, {condition})"
        object_to(condition, pick_values + parameters, f"'{DUPLICATE}'")
    return f"CASE {' '.join(cases)} ELSE 0 END", f"CASE objection {' '.join(reasons)} END", values


def _picked(selection: Selection, keep: bool) -> Query:
    ids = [pick.example_id for pick in selection.picks if pick.keep is keep]
    return ("example_id IN (SELECT unnest(?::UUID[]))", [ids]) if ids else ("false", [])


def _duplicate(selection: Selection, table: str) -> Query:
    """Whether a row that passes score and filter repeats an earlier one that does too. Equal conversations share
    losses and text, so only a filter on domains, or on being a duplicate, can pass one of them and not the other."""
    passes: list[str] = []
    values: list[Any] = []
    if selection.filter.domains:
        passes.append(f"domain IN ({', '.join('?' * len(selection.filter.domains))})")
        values += list(selection.filter.domains)
    if "duplicate" in selection.filter.with_flags:
        passes.append("duplicate")
    if not passes:
        return "duplicate_of IS NOT NULL", []
    first = f"SELECT min(row_number) FROM {table} WHERE {' AND '.join(passes)} GROUP BY example_id"
    return f"row_number NOT IN ({first})", values


def _eligible(near_set: int | None, ranking: str) -> tuple[str, str, list[Any]]:
    """SQL of the eligible rows, of those that fall to a better one of their group, and parameters."""
    if near_set is None:
        return "eligible AS (FROM scored)", "", []
    # Only grouped rows are ranked within their group, which are few; all rows would be sorted once more.
    eligible = f"""
        fallen AS (
            SELECT row_number FROM scored JOIN near_duplicate USING (example_id) WHERE near_duplicate_set_id = ?
            QUALIFY row_number() OVER (PARTITION BY group_number ORDER BY {ranking}) > 1 AND NOT picked
        ),
        eligible AS (FROM scored WHERE row_number NOT IN (FROM fallen))
    """
    others = f"""
        UNION ALL
        SELECT row_number, example_id, domain, token_count, value, picked, NULL, '{NEAR_DUPLICATE}'
        FROM scored WHERE row_number IN (FROM fallen)
    """
    return eligible, others, [near_set]


def _running(limits: Mapping[str, Budget]) -> str:
    """SQL of the tokens up to and including a row, left out of the pass where no budget is in tokens."""
    if all(budget.unit == "rows" for budget in limits.values()):
        return "0"
    return "sum(token_count) OVER (ranking ROWS UNBOUNDED PRECEDING)"
