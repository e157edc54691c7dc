"""Compares two selections of one dataset row by row: how many rows they share, and which."""

import pandas as pd

from ..data.errors import SelectionInvalid
from ..data.filters import Query
from ..data.snippets import snippet
from ..store import Store
from .decisions import KEPT
from .recipe import Selection
from .summary import kept_rows, row_decisions

PARTS = {
    "only_first": f"first_outcome = '{KEPT}' AND second_outcome IS DISTINCT FROM '{KEPT}'",
    "only_second": f"second_outcome = '{KEPT}' AND first_outcome IS DISTINCT FROM '{KEPT}'",
    "both": f"first_outcome = '{KEPT}' AND second_outcome = '{KEPT}'",
}
"""SQL conditions for the parts of a comparison, named like the columns of `overlap`."""


def overlap(store: Store, first: Selection, second: Selection) -> pd.DataFrame:
    """How two selections of one dataset agree: domain, both, only_first, only_second (rows) and jaccard (rows in
    both, over rows in either; NaN where neither keeps any), a row for each domain and one named "all".

    Raises `SelectionInvalid` if the two are of different datasets, whose rows cannot be compared.
    """
    check_comparable(store, first, second)
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


def compared_rows(
    store: Store, first: Selection, second: Selection, part: str, page: int, page_size: int
) -> pd.DataFrame:
    """One page (from 1) of the rows of a part (`PARTS`), best by the score of the selection that keeps them first:
    row_number, domain, token_count, first_value and second_value (each recipe's own score), first_outcome and
    second_outcome (`decisions`; None where its run was scored before the row came), prompt and response (beginnings).

    Raises `SelectionInvalid` for an unknown part, or two of different datasets.
    """
    if part not in PARTS:
        raise SelectionInvalid(f"Unknown part {part!r}. Must be one of: {', '.join(PARTS)}.")
    check_comparable(store, first, second)
    (sql, values), best = _both_decisions(store, first, second), _best_first(first, second, part)
    return store.frame(
        f"""
        WITH shown AS (
            SELECT * FROM ({sql}) WHERE {PARTS[part]}
            ORDER BY {best} LIMIT {page_size:d} OFFSET {(max(page, 1) - 1) * page_size:d}
        )
        SELECT row_number, domain, token_count, first_value, second_value, first_outcome, second_outcome,
            {snippet("prompt")}, {snippet("response")}
        FROM shown JOIN example USING (example_id) ORDER BY {best}
        """,
        values,
    )


def check_comparable(store: Store, first: Selection, second: Selection) -> None:
    """Raise `SelectionInvalid` if two selections are of different datasets."""
    datasets = [store.run(selection.run)["dataset"] for selection in (first, second)]
    if datasets[0] != datasets[1]:
        raise SelectionInvalid(
            f"The selections are of different datasets ({datasets[0]} and {datasets[1]}). Choose two of one dataset."
        )


def _both_decisions(store: Store, first: Selection, second: Selection) -> Query:
    """What becomes of every row in each: the first's row where both have it."""
    (first_sql, first_values), (second_sql, second_values) = (row_decisions(store, each) for each in (first, second))
    sql = f"""
        SELECT coalesce(a.row_number, b.row_number) AS row_number, coalesce(a.example_id, b.example_id) AS example_id,
            coalesce(a.domain, b.domain) AS domain, coalesce(a.token_count, b.token_count) AS token_count,
            a.value AS first_value, b.value AS second_value, a.outcome AS first_outcome, b.outcome AS second_outcome
        FROM ({first_sql}) a FULL JOIN ({second_sql}) b ON a.row_number = b.row_number
    """
    return sql, [*first_values, *second_values]


def _best_first(first: Selection, second: Selection, part: str) -> str:
    side, selection = ("second", second) if part == "only_second" else ("first", first)
    return f"{side}_value {'ASC' if selection.order == 'lowest' else 'DESC'} NULLS LAST, row_number"
