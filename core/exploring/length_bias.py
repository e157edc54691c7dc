"""Length bias: how strongly each form of the gain correlates with response length, measured on every row.

Strength and sign depend on the form, the data and the models, so only what was measured is stated, by domain.
"""

import math
from dataclasses import dataclass

import pandas as pd

from ..data.filters import RowFilter
from ..data.reader import Reader
from ..data.scores import SCORES, score_named
from .distributions import chosen_rows, robust_bounds
from .rank_correlation import rank_correlations

FORMS = {"implicit_reward": "sum", "loss_difference": "mean", "learnability": "ratio"}
"""Forms of the gain, by score: of the whole response, per token, and as a share of the base loss."""
LENGTH_SCORES = tuple(FORMS)

PAPER_FIGURES = (
    ("Alpaca, gemma-2b", 0.75, 0.30),
    ("Alpaca, gemma-2-2b", 0.83, 0.47),
    ("GSM8K, gemma-2b", 0.58, 0.06),
    ("LIMA, gemma-2b", 0.20, 0.02),
)
"""Spearman with response length, published for other data (note on arXiv 2310.13008v2): (data and base, raw form,
ratio). Its raw form is almost certainly the sum."""


@dataclass(frozen=True, slots=True)
class LengthPlane:
    """Counts by response length and score.

    `cells`: length_bin, score_bin, rows. `length_edges` [tokens] are integers, log-spaced, one more than bins;
    `score_edges` are evenly spaced. `medians`: length_bin, median, rows over every row of the bin, including those
    outside the score's edges. `outside` counts rows outside the edges.
    """

    column: str
    length_edges: list[int]
    score_edges: list[float]
    cells: pd.DataFrame
    medians: pd.DataFrame
    outside: int


def length_bias(store: Reader, table: str, row_filter: RowFilter) -> pd.DataFrame:
    """Spearman of token_count with each of `LENGTH_SCORES`: first over all rows (`overall`), then by domain.

    Columns: overall, domain, rows (that have all scores), spearman_<score>: the correlation of average ranks (ties
    share their mean rank); NULL if one side is constant.
    """
    columns = ("token_count", *LENGTH_SCORES)
    condition, values = row_filter.where()
    present = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    rows = f"SELECT domain, {', '.join(columns)} FROM {table} WHERE ({condition}) AND {present}"
    return rank_correlations(store, (rows, values), "token_count", LENGTH_SCORES, table)


def length_sentence(found: pd.DataFrame) -> str:
    """The correlations of `length_bias` within domains, as a sentence: of each form, the lowest and the highest."""
    measured = found[~found["overall"]].dropna(subset=[f"spearman_{name}" for name in LENGTH_SCORES])
    if measured.empty:
        return "No domain has rows of different lengths and scores, so there is no correlation with length."
    ranges = [f"{SCORES[name].label.lower()} ({FORMS[name]}) {_range(measured[f'spearman_{name}'])}" for name in FORMS]
    where = "Within 1 domain" if len(measured) == 1 else f"Within {len(measured):,} domains, lowest to highest"
    return f"{where}: {'; '.join(ranges)}."


def _range(values: "pd.Series[float]") -> str:
    low, high = (f"{value:+.2f}".replace("-", "−") for value in (values.min(), values.max()))
    return low if len(values) == 1 else f"{low} to {high}"


def length_plane(store: Reader, table: str, column: str, row_filter: RowFilter, bins: int = 48) -> LengthPlane | None:
    """Density of rows over response length and a score, and the score's median by length; None without rows."""
    condition, values = chosen_rows(score_named(column).name, row_filter)
    shortest, longest, count = store.rows(
        f"SELECT min(token_count), max(token_count), count(*) FROM {table} WHERE {condition} AND token_count > 0",
        values,
    )[0]
    if not count:
        return None
    lengths = _length_edges(int(shortest), int(longest), bins)
    low, high = robust_bounds(store, table, column, row_filter)
    width = (high - low) / bins
    binned = f"""
        WITH edges AS (
            SELECT token_count,
                list_count(list_filter(?::INTEGER[], lambda edge: edge <= token_count)) - 1 AS length_bin
            FROM (SELECT DISTINCT token_count FROM {table})
        ), chosen AS (SELECT token_count, {column} FROM {table} WHERE {condition} AND token_count > 0)
    """
    cells = store.frame(
        f"""{binned}
        SELECT length_bin, least(floor(({column} - ?) / ?)::INTEGER, {bins - 1:d}) AS score_bin, count(*) AS rows
        FROM chosen JOIN edges USING (token_count) WHERE {column} BETWEEN ? AND ? GROUP BY ALL ORDER BY ALL
        """,
        [lengths[:-1], *values, low, width, low, high],
    )
    medians = store.frame(
        f"{binned} SELECT length_bin, median({column}) AS median, count(*) AS rows "
        "FROM chosen JOIN edges USING (token_count) GROUP BY ALL ORDER BY ALL",
        [lengths[:-1], *values],
    )
    edges = [low + number * width for number in range(bins + 1)]
    return LengthPlane(column, lengths, edges, cells, medians, int(count) - int(cells["rows"].sum()))


def length_points(store: Reader, table: str, column: str, row_filter: RowFilter, limit: int) -> pd.DataFrame:
    """Individual rows, at most `limit` in row order: row_number, domain, token_count and the column."""
    condition, values = chosen_rows(column, row_filter)
    return store.frame(
        f"SELECT row_number, domain, token_count, {column} FROM {table} "
        f"WHERE {condition} AND token_count > 0 ORDER BY row_number LIMIT {limit:d}",
        values,
    )


def _length_edges(shortest: int, longest: int, bins: int) -> list[int]:
    """Integers, log-spaced, without repeats: each short length gets a bin, with no empty bins between."""
    step = math.log((longest + 1) / shortest) / bins
    return sorted({round(shortest * math.exp(number * step)) for number in range(bins)} | {longest + 1})
