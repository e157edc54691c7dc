"""Comparison of two runs over one dataset: the rows that both have scored, and how their scores correlate."""

from dataclasses import dataclass

import pandas as pd

from ..data.filters import EVERYTHING, Query, RowFilter
from ..data.loss_roles import LOSS_ROLES
from ..data.reader import Reader
from ..data.scores import score_named
from .distributions import Bounds, robust_bounds
from .rank_correlation import rank_correlations

_SCORES = ("first_score", "second_score")


@dataclass(frozen=True, slots=True)
class RunPair:
    """The scored tables of two runs over one dataset, the compared score, and the filter.

    A row is compared if it passes the filter and has the score in both runs. Raises `SelectionInvalid` for an unknown
    score.
    """

    first: str
    second: str
    score: str
    row_filter: RowFilter = EVERYTHING

    def __post_init__(self) -> None:
        score_named(self.score)

    def rows(self) -> Query:
        """SQL of the compared rows: row_number, example_id, domain, first_score and second_score."""
        condition, values = self.row_filter.where()
        one, other = (
            f"(SELECT row_number, example_id, domain, {self.score} AS {name} FROM {table} "
            f"WHERE ({condition}) AND {self.score} IS NOT NULL)"
            for table, name in ((self.first, "first_score"), (self.second, "second_score"))
        )
        sql = f"""
            SELECT row_number, a.example_id, a.domain, first_score, second_score
            FROM {one} a JOIN {other} b USING (row_number)
        """
        return sql, [*values, *values]


@dataclass(frozen=True, slots=True)
class ScorePlane:
    """Counts on a square of `size` bins a side from `low` to `high`, the same on both axes.

    `cells`: first_bin, second_bin (from 0), rows; empty cells are omitted. `outside` counts the rows outside the
    square, `rows` all compared rows.
    """

    low: float
    high: float
    size: int
    cells: pd.DataFrame
    rows: int
    outside: int

    @property
    def edges(self) -> list[float]:
        """Edges of the bins, one more than there are bins, in the score's unit."""
        width = (self.high - self.low) / self.size
        return [self.low + number * width for number in range(self.size + 1)]


def compared_counts(store: Reader, pair: RunPair) -> pd.DataFrame:
    """Counts of the rows of either run, by domain: how many are compared, and why the others are not.

    Columns: domain; compared; only_first and only_second (rows that the other run lacks, because the dataset grew after
    it was scored); filtered (excluded by the filter in either run); no_score (without the score in either run);
    within_noise (of the compared rows: all losses used by the score differ between the runs by no more than the noise
    floor). Each row is counted in the first column that applies.
    """
    condition, values = pair.row_filter.where()
    losses = [f"{role}_loss" for role in score_named(pair.score).roles if role in LOSS_ROLES]
    change = ", ".join(f"abs(a.{loss} - b.{loss})" for loss in losses) or "NULL"
    columns = ", ".join(["row_number", "domain", f"{pair.score} AS score", *losses, "noise_floor"])
    one, other = (
        f"(SELECT {columns}, ({condition}) AS passes FROM {table})" for table in (pair.first, pair.second)
    )  # fmt: skip
    return store.frame(
        f"""
        WITH judged AS (
            SELECT coalesce(a.domain, b.domain) AS domain, greatest({change}) AS change,
                coalesce(greatest(a.noise_floor, b.noise_floor), 0) AS noise_floor,
                CASE WHEN b.row_number IS NULL THEN 'only_first' WHEN a.row_number IS NULL THEN 'only_second'
                    WHEN NOT (a.passes AND b.passes) THEN 'filtered'
                    WHEN a.score IS NULL OR b.score IS NULL THEN 'no_score' ELSE 'compared' END AS outcome
            FROM {one} a FULL JOIN {other} b ON a.row_number = b.row_number
        )
        SELECT domain, count_if(outcome = 'compared') AS compared, count_if(outcome = 'only_first') AS only_first,
            count_if(outcome = 'only_second') AS only_second, count_if(outcome = 'filtered') AS filtered,
            count_if(outcome = 'no_score') AS no_score,
            count_if(outcome = 'compared' AND change <= noise_floor) AS within_noise
        FROM judged GROUP BY domain ORDER BY domain
        """,
        [*values, *values],
    )


def score_correlations(store: Reader, pair: RunPair) -> pd.DataFrame:
    """Spearman of the score in the first run with the score in the second: over all compared rows (`overall`), then by
    domain. Columns: overall, domain, rows, spearman (NULL if one side is constant)."""
    found = rank_correlations(store, pair.rows(), "first_score", ["second_score"], pair.first)
    return found.rename(columns={"spearman_second_score": "spearman"})


def score_points(store: Reader, pair: RunPair, limit: int) -> pd.DataFrame:
    """The compared rows, at most `limit` in row order: row_number, domain, first_score, second_score."""
    sql, values = pair.rows()
    columns = "row_number, domain, first_score, second_score"
    return store.frame(f"SELECT {columns} FROM ({sql}) ORDER BY row_number LIMIT {limit:d}", values)


def score_bounds(store: Reader, pair: RunPair) -> Bounds:
    """Bounds that cover `robust_bounds` of the score in both runs."""
    bounds = [robust_bounds(store, table, pair.score, pair.row_filter) for table in (pair.first, pair.second)]
    return min(least for least, _ in bounds), max(most for _, most in bounds)


def score_plane(store: Reader, pair: RunPair, bins: int = 80) -> ScorePlane:
    """Density of compared rows over the score in the first and in the second run, binned on a square of
    `score_bounds`."""
    low, high = score_bounds(store, pair)
    width = (high - low) / bins
    sql, values = pair.rows()
    first, second = (f"least(floor(({name} - ?) / ?)::INTEGER, {bins - 1:d})" for name in _SCORES)
    inside = " AND ".join(f"{name} BETWEEN ? AND ?" for name in _SCORES)
    cells = store.frame(
        f"SELECT {first} AS first_bin, {second} AS second_bin, count(*) AS rows FROM ({sql}) WHERE {inside} "
        "GROUP BY ALL ORDER BY ALL",
        [low, width, low, width, *values, low, high, low, high],
    )
    rows = int(store.rows(f"SELECT count(*) FROM ({sql})", values)[0][0])
    return ScorePlane(low, high, bins, cells, rows, rows - int(cells["rows"].sum()))
