"""Distributions of a score by domain, binned and counted in SQL over every row that passes a filter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.errors import SelectionInvalid
from ..data.filters import Query, RowFilter, check_column
from ..data.reader import Reader
from ..data.scores import FLAGS, QUALITY_FLAGS, SCORES, needed_roles, score_named

Bounds = tuple[float, float]
_TAILS = (0.005, 0.995)
_OF_QUALITY = " OR ".join(QUALITY_FLAGS)
POSITIVE_COLUMNS = (*(score.name for score in SCORES.values() if score.never_negative), "token_count")
"""Columns that are never negative, so that a log axis shows (nearly) all of their rows."""
FINE_BINS = 240
"""Bins of a curve: fine enough to look smooth, coarse enough to send."""
_WHOLE_COLUMNS = ("token_count",)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Binned counts of one column.

    `bins`: domain, bin_low, bin_high, rows; every domain has every bin, zeros included. `outside`: domain, below and
    above (rows outside `low` and `high`) and no_score (rows without a value). `log`: the bins are equal on a log axis.
    """

    column: str
    low: float
    high: float
    bins: pd.DataFrame
    outside: pd.DataFrame
    log: bool = False


def histogram(
    store: Reader,
    table: str,
    column: str,
    row_filter: RowFilter,
    bins: int = 60,
    bounds: Bounds | None = None,
    *,
    log: bool = False,
    domains: Sequence[str] | None = None,
) -> Histogram:
    """Count a column's rows in equal bins over `bounds`, by default `robust_bounds`. A bin includes its low edge, the
    last one also its high edge. `log`: bins of equal ratio, for `POSITIVE_COLUMNS`. Integer columns get integer edges,
    so there may be fewer bins. `domains`: the only ones to count; the default bounds are those of all. Raises
    `SelectionInvalid` for an unknown column, or one without a log axis.
    """
    check_column(column)
    low, high = bounds or robust_bounds(store, table, column, row_filter, log=log)
    edges = _edges(column, low, high, bins, log)
    bins = len(edges) - 1
    place, parameters = _place(column, edges, log)
    condition, values = row_filter.where()
    if domains is not None:
        of_domains, names = RowFilter(domains=tuple(domains)).domain_condition()
        condition, values = f"({condition}) AND {of_domains}", [*values, *names]
    counted, grouping = ("count(*)", "GROUP BY ALL") if column in _WHOLE_COLUMNS else ("1", "")
    counts = store.frame(
        f"""
        SELECT domain, sum(rows)::BIGINT AS rows, CASE
            WHEN {column} IS NULL THEN -2 WHEN {column} < ? THEN -1 WHEN {column} > ? THEN {bins:d}
            ELSE greatest(0, least({place}, {bins - 1:d})) END AS bin
        FROM (SELECT domain, {column}, {counted} AS rows FROM {table} WHERE {condition} {grouping}) GROUP BY ALL
        """,
        [edges[0], edges[-1], *parameters, *values],
    )
    found, domain = np.unique(counts["domain"].to_numpy(object), return_inverse=True)
    grid = np.zeros((len(found), bins + 3), np.int64)  # without a score, below, the bins, above
    grid[domain, counts["bin"].to_numpy(np.int64) + 2] = counts["rows"]
    binned = pd.DataFrame(
        {
            "domain": np.repeat(found, bins),
            "bin_low": np.tile(edges[:-1], len(found)),
            "bin_high": np.tile(edges[1:], len(found)),
            "rows": grid[:, 2:-1].reshape(-1),
        }
    )
    outside = pd.DataFrame({"domain": found, "below": grid[:, 1], "above": grid[:, -1], "no_score": grid[:, 0]})
    return Histogram(column, edges[0], edges[-1], binned, outside, log)


def scored_rows(counted: Histogram) -> dict[str, int]:
    """Rows with a value by domain, including those outside the bins."""
    inside = counted.bins.groupby("domain")["rows"].sum()
    beyond = counted.outside.set_index("domain")[["below", "above"]].sum(axis=1)
    return {str(name): int(rows) for name, rows in (inside + beyond).items()}


def with_shares(counted: Histogram) -> pd.DataFrame:
    """The bins with two more columns: share_low and share_high, the share of the domain's scored rows below the bin's
    low and high edge (rows outside the bins included): the ECDF, exact at the edges."""
    rows, domain = counted.bins["rows"].astype(int), counted.bins["domain"]
    scored = domain.map(scored_rows(counted)).astype(int).clip(lower=1)
    below = domain.map(counted.outside.set_index("domain")["below"]).astype(int)
    up_to = rows.groupby(domain).cumsum() + below
    return counted.bins.assign(share_low=(up_to - rows) / scored, share_high=up_to / scored)


def robust_bounds(store: Reader, table: str, column: str, row_filter: RowFilter, *, log: bool = False) -> Bounds:
    """The range of a column's middle 99 %, or its full range if that is hardly larger; never of zero width.
    `log`: for positive values only, with distances as ratios."""
    condition, values = chosen_rows(column, row_filter)
    value = f"{column}::DOUBLE"
    if log:
        _check_logarithm(column)
        condition, value = f"{condition} AND {column} > 0", f"ln(greatest({column}::DOUBLE, 1e-300))"
    found = store.rows(
        f"SELECT quantile_cont({value}, {list(_TAILS)}), min({value}), max({value}) "
        f"FROM {table} WHERE {condition} AND isfinite({column}::DOUBLE)",
        values,
    )[0]
    if found[0] is None:
        return (1.0, 10.0) if log else (0.0, 1.0)
    (low, high), least, most = found
    reach = 0.1 * (high - low)
    if low == high:
        low, high = least, most
    low = least if least >= low - reach else low
    high = most if most <= high + reach else high
    margin = max(abs(low), 1.0) / 2 if math.isclose(low, high, abs_tol=1e-12) else 0.0
    low, high = float(low - margin), float(high + margin)
    if not log:
        return low, high
    # Slightly wider: rounding in log and exp must not exclude the extremes.
    return math.exp(low) * (1 - 1e-12), math.exp(high) * (1 + 1e-12)


def summary(store: Reader, table: str, column: str, row_filter: RowFilter) -> pd.DataFrame:
    """One row per domain, preceded by one over all domains (`overall` true, domain empty).

    Columns: rows, scored (rows with a value), no_score, mean, ratio_of_means, median, q25, q75, min, max,
    share_negative (of the scored), share_quality_flag (of all rows, by any of `QUALITY_FLAGS`), tokens.
    `mean` is over rows, so for learnability it is the mean of ratios; `ratio_of_means` is weighted by size, for
    learnability 1 - sum of reference NLL / sum of base NLL. It is NULL if the column is not a ratio.
    """
    check_column(column)
    condition, values = row_filter.where()
    score = None if column == "token_count" else score_named(column)
    # The score's formula, applied to sums over rows that have the score.
    ratio = score.sql if score and score.is_ratio else "CAST(NULL AS DOUBLE)"
    columns = [f"{role}_{part}" for role in needed_roles() for part in ("nll_sum", "end_nll_sum")]
    sums = ", ".join(
        f"sum({name}) FILTER ({column} IS NOT NULL) AS {name}" for name in (*columns, "token_count", "end_token_count")
    )
    means = ", ".join(f"{role}_nll_sum / nullif(token_count, 0) AS {role}_loss" for role in needed_roles())
    return store.frame(
        f"""
        WITH counted AS (
            SELECT
                grouping(domain) = 1 AS overall, coalesce(domain, '') AS domain, count(*) AS rows,
                count({column}) AS scored, count(*) - count({column}) AS no_score, avg({column}) AS mean,
                quantile_cont({column}, 0.5) AS median, quantile_cont({column}, 0.25) AS q25,
                quantile_cont({column}, 0.75) AS q75, min({column}) AS min, max({column}) AS max,
                count_if({column} < 0) / nullif(count({column}), 0) AS share_negative,
                count_if({_OF_QUALITY}) / nullif(count(*), 0) AS share_quality_flag,
                sum(token_count)::BIGINT AS tokens,
                {sums}
            FROM {table} WHERE {condition} GROUP BY GROUPING SETS ((domain), ()) HAVING count(*) > 0
        ), summed AS (
            SELECT *, {means} FROM counted
        )
        SELECT overall, domain, rows, scored, no_score, mean, {ratio} AS ratio_of_means, median, q25, q75, min, max,
            share_negative, share_quality_flag, tokens
        FROM summed ORDER BY overall DESC, domain
        """,
        values,
    )


def domain_counts(store: Reader, table: str, row_filter: RowFilter) -> pd.DataFrame:
    """Every domain of the run: domain, rows and tokens that pass the filter, all_rows and all_tokens."""
    # Two queries, because the store keeps the totals, and counts only rows that pass faster than all with a condition.
    counted = f"SELECT domain, count(*) AS rows, sum(token_count)::BIGINT AS tokens FROM {table}"
    condition, values = row_filter.where()
    every = store.frame(f"{counted} GROUP BY domain ORDER BY domain")
    passing = store.frame(f"{counted} WHERE {condition} GROUP BY domain", values).set_index("domain")
    found = passing.reindex(every["domain"], fill_value=0).reset_index()
    return found.assign(all_rows=every["rows"], all_tokens=every["tokens"])


def flag_counts(store: Reader, table: str, row_filter: RowFilter) -> pd.DataFrame:
    """Rows with each flag: domain, and one column per flag of `core.data.scores.FLAGS`."""
    condition, values = row_filter.where()
    counts = ", ".join(f"count_if({flag}) AS {flag}" for flag in FLAGS)
    return store.frame(
        f"SELECT domain, {counts} FROM {table} WHERE {condition} GROUP BY domain ORDER BY domain", values
    )


def chosen_rows(column: str, row_filter: RowFilter) -> Query:
    """SQL condition for the rows that pass the filter and have a value in the column."""
    check_column(column)
    condition, values = row_filter.where()
    return f"({condition}) AND {column} IS NOT NULL", values


def _check_logarithm(column: str) -> None:
    if column not in POSITIVE_COLUMNS:
        raise SelectionInvalid(
            f"{column} can be zero or negative, so it has no log axis. Choose one of: {', '.join(POSITIVE_COLUMNS)}."
        )


def _edges(column: str, low: float, high: float, bins: int, log: bool) -> list[float]:
    """Edges of the bins: equal in value or in ratio; integers for integer columns (each short length then gets a bin,
    with no empty bins between)."""
    if log:
        _check_logarithm(column)
        ratio = math.log(high / low) / bins
        edges = [low * math.exp(number * ratio) for number in range(bins)] + [high]
        if column not in _WHOLE_COLUMNS:
            return edges
        whole = sorted({max(1, round(edge)) for edge in edges[:-1]} | {math.floor(high) + 1})
        return [float(edge) for edge in whole]
    if column in _WHOLE_COLUMNS:
        first = math.floor(low)
        width = max(1, math.ceil((math.floor(high) + 1 - first) / bins))
        count = math.ceil((math.floor(high) + 1 - first) / width)
        return [float(first + number * width) for number in range(count + 1)]
    return [low + number * (high - low) / bins for number in range(bins)] + [high]


def _place(column: str, edges: list[float], log: bool) -> Query:
    """SQL for the bin number of a value within the edges."""
    if column in _WHOLE_COLUMNS:
        return f"list_count(list_filter(?::DOUBLE[], lambda edge: edge <= {column})) - 1", [edges]
    low, high, bins = edges[0], edges[-1], len(edges) - 1
    if log:  # greatest: CASE may evaluate branches that it does not take, and ln(0) fails
        return f"floor(ln(greatest({column}, ?) / ?) / ?)::INTEGER", [low, low, math.log(high / low) / bins]
    return f"floor(({column} - ?) / ?)::INTEGER", [low, (high - low) / bins]
