"""How a score is distributed in each domain, binned and counted in SQL over every row that passes a filter."""

import math
from dataclasses import dataclass

import pandas as pd

from core.errors import SelectionInvalid
from core.filters import RANGE_COLUMNS, Query, RowFilter
from core.reader import Reader
from core.scores import FLAGS

Bounds = tuple[float, float]
_TAILS = (0.005, 0.995)
_FLAGGED = " OR ".join(FLAGS)
_RATIO_OF_MEANS = {
    "learnability": "1 - sum(reference_sum) / nullif(sum(base_sum), 0)",
    "loss_difference": "(sum(base_sum) - sum(reference_sum)) / nullif(sum(scored_tokens), 0)",
    "base_loss": "sum(base_sum) / nullif(sum(scored_tokens), 0)",
    "reference_loss": "sum(reference_sum) / nullif(sum(scored_tokens), 0)",
    "base_perplexity": "exp(sum(base_sum) / nullif(sum(scored_tokens), 0))",
}


@dataclass(frozen=True, slots=True)
class Histogram:
    """Binned counts of one column.

    `bins`: domain, bin_low, bin_high, rows; every domain has every bin, zeros included. `outside`: domain, below
    and above (rows beyond `low` and `high`, which no bin holds) and no_score (rows without a value).
    """

    column: str
    low: float
    high: float
    bins: pd.DataFrame
    outside: pd.DataFrame


def histogram(
    store: Reader, table: str, column: str, row_filter: RowFilter, bins: int = 60, bounds: Bounds | None = None
) -> Histogram:
    """Count a column's rows in equal bins over `bounds`, by default `robust_bounds`. A bin holds its low edge, the
    last one its high edge too. Raises `SelectionInvalid` for a column it does not know."""
    check_column(column)
    low, high = bounds or robust_bounds(store, table, column, row_filter)
    width = (high - low) / bins
    condition, values = row_filter.where()
    counts = store.frame(
        f"""
        SELECT domain, count(*) AS rows, CASE
            WHEN {column} IS NULL THEN -2 WHEN {column} < ? THEN -1 WHEN {column} > ? THEN {bins:d}
            ELSE least(floor(({column} - ?) / ?)::INTEGER, {bins - 1:d}) END AS bin
        FROM {table} WHERE {condition} GROUP BY ALL
        """,
        [low, high, low, width, *values],
    )
    grid = counts.pivot(index="domain", columns="bin", values="rows").sort_index()
    grid = grid.reindex(columns=range(-2, bins + 1)).fillna(0).astype(int)
    binned = grid[list(range(bins))].melt(ignore_index=False, var_name="bin", value_name="rows").reset_index()
    numbers = binned["bin"].astype(int)
    binned["bin_low"], binned["bin_high"] = low + numbers * width, low + (numbers + 1) * width
    binned = binned.sort_values(["domain", "bin_low"], ignore_index=True)[["domain", "bin_low", "bin_high", "rows"]]
    outside = grid[[-1, bins, -2]].set_axis(["below", "above", "no_score"], axis=1).reset_index()
    return Histogram(column, low, high, binned, outside)


def robust_bounds(store: Reader, table: str, column: str, row_filter: RowFilter) -> Bounds:
    """Where the middle 99 % of a column lies, or its extremes where they are hardly further; never of zero width."""
    condition, values = chosen_rows(column, row_filter)
    found = store.rows(
        f"SELECT quantile_cont({column}, {list(_TAILS)}), min({column}), max({column}) "
        f"FROM {table} WHERE {condition} AND isfinite({column}::DOUBLE)",
        values,
    )[0]
    if found[0] is None:
        return 0.0, 1.0
    (low, high), least, most = found
    reach = 0.1 * (high - low)
    if low == high:
        low, high = least, most
    low = least if least >= low - reach else low
    high = most if most <= high + reach else high
    margin = max(abs(low), 1.0) / 2 if math.isclose(low, high, abs_tol=1e-12) else 0.0
    return float(low - margin), float(high + margin)


def summary(store: Reader, table: str, column: str, row_filter: RowFilter) -> pd.DataFrame:
    """One row a domain and first one over all of them (`overall` true, domain empty).

    Columns: rows, scored (rows with a value), no_score, mean, ratio_of_means, median, q25, q75, min, max,
    share_negative (of the scored), share_flagged (of all rows), tokens. `mean` is over rows, so for learnability
    the mean of ratios; `ratio_of_means` weighs by size, for learnability 1 - sum of reference NLL / sum of base
    NLL. The two differ; it is NULL where the column is no ratio.
    """
    check_column(column)
    condition, values = row_filter.where()
    pooled = _RATIO_OF_MEANS.get(column, "CAST(NULL AS DOUBLE)")
    return store.frame(
        f"""
        SELECT
            grouping(domain) = 1 AS overall, coalesce(domain, '') AS domain, count(*) AS rows,
            count({column}) AS scored, count(*) - count({column}) AS no_score, avg({column}) AS mean,
            {pooled} AS ratio_of_means,
            quantile_cont({column}, 0.5) AS median, quantile_cont({column}, 0.25) AS q25,
            quantile_cont({column}, 0.75) AS q75, min({column}) AS min, max({column}) AS max,
            count_if({column} < 0) / nullif(count({column}), 0) AS share_negative,
            count_if({_FLAGGED}) / nullif(count(*), 0) AS share_flagged, sum(token_count)::BIGINT AS tokens
        FROM (
            SELECT *, if({column} IS NULL, NULL, base_nll_sum) AS base_sum,
                if({column} IS NULL, NULL, reference_nll_sum) AS reference_sum,
                if({column} IS NULL, NULL, token_count) AS scored_tokens
            FROM {table} WHERE {condition}
        )
        GROUP BY GROUPING SETS ((domain), ()) HAVING count(*) > 0 ORDER BY overall DESC, domain
        """,
        values,
    )


def domain_counts(store: Reader, table: str, row_filter: RowFilter) -> pd.DataFrame:
    """Every domain of the run: domain, rows and tokens that pass the filter, all_rows and all_tokens."""
    condition, values = row_filter.where()
    return store.frame(
        f"""
        SELECT domain, count_if(passes) AS rows, coalesce(sum(token_count) FILTER (passes), 0)::BIGINT AS tokens,
            count(*) AS all_rows, sum(token_count)::BIGINT AS all_tokens
        FROM (SELECT domain, token_count, ({condition}) AS passes FROM {table}) GROUP BY domain ORDER BY domain
        """,
        values,
    )


def flag_counts(store: Reader, table: str, row_filter: RowFilter) -> pd.DataFrame:
    """Rows that carry each flag: domain, and one column a flag of `core.scores.FLAGS`."""
    condition, values = row_filter.where()
    counts = ", ".join(f"count_if({flag}) AS {flag}" for flag in FLAGS)
    return store.frame(
        f"SELECT domain, {counts} FROM {table} WHERE {condition} GROUP BY domain ORDER BY domain", values
    )


def check_column(column: str) -> None:
    """Raise `SelectionInvalid` unless the column is one of `core.filters.RANGE_COLUMNS`."""
    if column not in RANGE_COLUMNS:
        raise SelectionInvalid(f"Unknown column {column!r}. Must be one of: {', '.join(RANGE_COLUMNS)}.")


def chosen_rows(column: str, row_filter: RowFilter) -> Query:
    """SQL condition for the rows that pass the filter and have a value in the column."""
    check_column(column)
    condition, values = row_filter.where()
    return f"({condition}) AND {column} IS NOT NULL", values
