"""The plane of two scores of one run: row counts on a grid, and how many of them a selection keeps."""

from dataclasses import dataclass

import pandas as pd

from ..data.filters import Query, RowFilter
from ..data.reader import Reader
from .distributions import Bounds, robust_bounds

_BINS = 60


@dataclass(frozen=True, slots=True)
class TwoScores:
    """Counts over two columns of the scored table, in equal bins over their `robust_bounds`.

    `cells`: x_bin, y_bin (from 0), rows, kept; empty cells are omitted. `outside` rows have both values and lie beyond
    the edges; `rows` have both.
    """

    x: str
    y: str
    x_edges: list[float]
    y_edges: list[float]
    cells: pd.DataFrame
    rows: int
    outside: int


def two_scores(store: Reader, table: str, x: str, y: str, row_filter: RowFilter, kept: Query) -> TwoScores | None:
    """Count the rows that pass the filter and have both scores; None if there is none. `kept`: a
    condition that the selected rows meet (`core.selection.kept_condition`)."""
    condition, values = row_filter.where()
    both = f"({condition}) AND {x} IS NOT NULL AND {y} IS NOT NULL"
    count = int(store.rows(f"SELECT count(*) FROM {table} WHERE {both}", values)[0][0])
    if not count:
        return None
    edges = {column: _edges(robust_bounds(store, table, column, row_filter)) for column in (x, y)}
    place = f"least(floor(({{}} - ?) / ?)::INTEGER, {_BINS - 1:d})"
    bins = f"{place.format(x)} AS x_bin, {place.format(y)} AS y_bin"
    widths = [part for column in (x, y) for part in (edges[column][0], edges[column][1] - edges[column][0])]
    limits = [limit for column in (x, y) for limit in (edges[column][0], edges[column][-1])]
    cells = store.frame(
        f"""
        SELECT {bins}, count(*) AS rows, count_if(is_kept) AS kept
        FROM (SELECT {x}, {y}, ({kept[0]}) AS is_kept FROM {table} WHERE {both})
        WHERE {x} BETWEEN ? AND ? AND {y} BETWEEN ? AND ?
        GROUP BY x_bin, y_bin ORDER BY x_bin, y_bin
        """,
        [*widths, *kept[1], *values, *limits],
    )
    return TwoScores(x, y, edges[x], edges[y], cells, count, count - int(cells["rows"].sum()))


def spread_ratio(store: Reader, table: str, score: str, other: str) -> float:
    """The interquartile range of a score over that of another: the weight at which the other counts as much. 1 if one
    of them has none."""
    quartiles = ", ".join(f"quantile_cont({column}::DOUBLE, [0.25, 0.75])" for column in (score, other))
    found = store.rows(f"SELECT {quartiles} FROM {table}")[0]
    first, second = ((pair[1] - pair[0]) if pair else 0.0 for pair in found)
    return float(first / second) if first > 0 and second > 0 else 1.0


def _edges(bounds: Bounds) -> list[float]:
    low, high = bounds
    return [low + number * (high - low) / _BINS for number in range(_BINS)] + [high]
