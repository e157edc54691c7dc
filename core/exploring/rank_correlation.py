"""Rank correlation: Spearman of one column with others over every row of a query, and within each domain."""

from collections.abc import Sequence

import pandas as pd

from core.filters import Query
from core.reader import Reader


def rank_correlations(store: Reader, rows: Query, column: str, others: Sequence[str]) -> pd.DataFrame:
    """Spearman of `column` with each of `others`: first over all rows (`overall` true, domain empty), then by domain.

    `rows` yields domain and the columns, none of them NULL. Columns: overall, domain, rows, spearman_<other>. It is
    the correlation of average ranks (ties share their mean rank); NULL where one side does not vary.
    """
    overall = _spearman(store, rows, column, others, by_domain=False)
    domains = _spearman(store, rows, column, others, by_domain=True)
    frame = pd.concat([overall, domains.sort_values("domain")], ignore_index=True)
    frame.insert(0, "overall", [True] * len(overall) + [False] * len(domains))
    return frame


def _spearman(store: Reader, rows: Query, column: str, others: Sequence[str], by_domain: bool) -> pd.DataFrame:
    sql, values = rows
    columns = (column, *others)
    # Average rank of ties: halfway from their first place (rank) to their last (rows up to and with them).
    ranks = ", ".join(f"(rank() OVER by_{name} + count(*) OVER by_{name}) / 2 AS {name}" for name in columns)
    # One part over all rows is no part at all: DuckDB ranks a lone partition in one thread, ten times slower.
    part, partition = ("domain", "PARTITION BY part ") if by_domain else ("''", "")
    windows = ", ".join(f"by_{name} AS ({partition}ORDER BY {name})" for name in columns)
    found = ", ".join(
        f"if(isnan(corr({column}, {other})), NULL, corr({column}, {other})) AS spearman_{other}" for other in others
    )
    return store.frame(
        f"""
        WITH chosen AS (SELECT {part} AS part, {", ".join(columns)} FROM ({sql})),
        ranked AS (SELECT part, {ranks} FROM chosen WINDOW {windows})
        SELECT part AS domain, count(*) AS rows, {found} FROM ranked GROUP BY part
        """,
        values,
    )
