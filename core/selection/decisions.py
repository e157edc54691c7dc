"""Decisions: SQL that says of every row of a run whether a recipe keeps it, and if not, why."""

from collections.abc import Mapping
from typing import Any

from core.filters import Query
from core.selection.budgets import POOL, Budget
from core.selection.recipe import ORDERS, Selection

KEPT = "kept"
BELOW_THE_CUT = "below the cut"
DUPLICATE = "duplicate of an eligible row"
_NO_LIMIT = 2**62
_NO_SCORE = """coalesce(reason, CASE WHEN non_finite THEN 'non_finite' WHEN no_scored_token THEN 'no_scored_token'
    WHEN not_scored THEN 'not_scored' WHEN zero_base_loss THEN 'zero_base_loss' ELSE 'undefined' END)"""


def decisions(selection: Selection, table: str, limits: Mapping[str, Budget]) -> Query:
    """What becomes of every row of a scored table, one row each: row_number, example_id, domain, token_count, value
    (the recipe's score), rank (from 1 among the eligible rows of its pool, else NULL) and outcome.

    `limits` come from `budgets`. A row is judged by the first that applies: no score, a filter, a duplicate, the
    cut. Ties are broken by example_id, then row_number.
    """
    order = ORDERS[selection.order]
    objection, reasons, objection_values = _objection(selection, table)
    marks = ", ".join("(?::VARCHAR, ?::INTEGER, ?::BIGINT, ?::BIGINT)" for _ in limits)
    sql = f"""
        WITH budget(pool, pool_id, row_limit, token_limit) AS (VALUES {marks}),
        judged AS (
            SELECT *, {selection.score} AS value, {objection} AS objection
            FROM {table} JOIN budget ON pool = {"domain" if selection.scope == "domain" else "?"}
        ),
        eligible AS (
            SELECT row_number, example_id, domain, token_count, value, pool_id, {order.sql} AS sort_key
            FROM judged WHERE objection = 0
        ),
        ranked AS (
            SELECT *, row_number() OVER ranking AS rank, {_running(limits)} AS running_tokens
            FROM eligible
            WINDOW ranking AS (PARTITION BY pool_id ORDER BY sort_key, example_id, row_number)
        )
        SELECT row_number, example_id, domain, token_count, value, rank,
            if(rank <= row_limit AND running_tokens <= token_limit, '{KEPT}', '{BELOW_THE_CUT}') AS outcome
        FROM ranked JOIN budget USING (pool_id)
        UNION ALL
        SELECT row_number, example_id, domain, token_count, value, NULL, {reasons} AS outcome
        FROM judged WHERE objection > 0
    """
    values: list[Any] = []
    for pool_id, (pool, budget) in enumerate(limits.items()):
        by_rows = budget.unit == "rows"
        values += [pool, pool_id, budget.wanted if by_rows else _NO_LIMIT, _NO_LIMIT if by_rows else budget.wanted]
    values += objection_values
    values += [POOL] if selection.scope == "pooled" else []
    values += [str(selection.seed)] * order.sql.count("?")
    return sql, values


def _objection(selection: Selection, table: str) -> tuple[str, str, list[Any]]:
    """SQL of a small code for the first objection to a row (0: eligible), SQL that turns the code into its reason
    for the rows that have one, and the parameters of the first. Codes keep text out of the ranking."""
    score = f"{selection.score} IS NULL"
    cases, reasons, values = [f"WHEN {score} THEN 1"], [f"WHEN 1 THEN 'no score: ' || {_NO_SCORE}"], []
    for reason, (condition, parameters) in selection.filter.conditions():
        cases.append(f"WHEN NOT ({condition}) THEN {len(cases) + 1}")
        reasons.append(f"WHEN {len(cases)} THEN '{reason}'")
        values += parameters
    if selection.collapse_duplicates:
        condition, parameters = _duplicate(selection, table)
        cases.append(f"WHEN {condition} THEN {len(cases) + 1}")
        reasons.append(f"WHEN {len(cases)} THEN '{DUPLICATE}'")
        values += parameters
    return f"CASE {' '.join(cases)} ELSE 0 END", f"CASE objection {' '.join(reasons)} END", values


def _duplicate(selection: Selection, table: str) -> Query:
    """Whether a row that passes score and filter repeats an earlier one that does too. Equal conversations share
    losses and text, so only a filter on domains can pass one of them and not the other."""
    if not selection.filter.domains:
        return "duplicate_of IS NOT NULL", []
    within = f"domain IN ({', '.join('?' * len(selection.filter.domains))})"
    first = f"SELECT min(row_number) FROM {table} WHERE {within} GROUP BY coalesce(duplicate_of, row_number)"
    return f"duplicate_of IS NOT NULL AND row_number NOT IN ({first})", list(selection.filter.domains)


def _running(limits: Mapping[str, Budget]) -> str:
    """SQL of the tokens up to and including a row, left out of the pass where no budget is in tokens."""
    if all(budget.unit == "rows" for budget in limits.values()):
        return "0"
    return "sum(token_count) OVER (ranking ROWS UNBOUNDED PRECEDING)"
