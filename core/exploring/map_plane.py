"""The map of a run's rows: a sample of them with their places, and counts on a grid of all, in SQL."""

import math
from dataclasses import dataclass

import pandas as pd

from ..data.filters import RowFilter
from ..data.map_columns import map_columns, places_sql
from ..data.reader import Reader
from ..data.snippets import beginning

MOST_DRAWN = 3_000
"""Up to this many rows are drawn as points; of more, the same share of each domain."""
_BINS = 90
_TEXT = 80  # characters of a prompt, so that as many points of hostile text as are drawn stay below 2 MB


@dataclass(frozen=True, slots=True)
class MapPlane:
    """Rows on a map. `points`: row_number, domain, x, y, score and text (the prompt's beginning), at most `MOST_DRAWN`.
    `cells`: x_bin, y_bin (from 0, of equal bins between the edges) and rows, empty if every row is a point. `rows`
    pass the filter and have a place, `without_place` pass and have none."""

    points: pd.DataFrame
    cells: pd.DataFrame
    x_edges: list[float]
    y_edges: list[float]
    rows: int
    without_place: int


def map_plane(store: Reader, table: str, key: str, score: str, row_filter: RowFilter) -> MapPlane:
    """The rows that pass the filter, where they lie on the map of that key; `score` is a column of the table."""
    condition, values = row_filter.where()
    x, y = map_columns(key)
    places = places_sql(key)
    # Of the whole map, so that its axes stay as they are while filters change.
    ends = store.rows(f"SELECT min({x}), max({x}), min({y}), max({y}) FROM ({places})")[0]
    x_edges, y_edges = (_edges(low or 0.0, high or 0.0) for low, high in (ends[:2], ends[2:]))
    rows = f"(SELECT * FROM {table} WHERE {condition})"
    every, count = store.rows(
        f"SELECT count(*), count({x}) FROM {rows} LEFT JOIN ({places}) USING (example_id)", values
    )[0]
    # A share of the rows first, because it takes a second to order a million by domain.
    share = min(1.0, 3 * MOST_DRAWN / max(1, count))
    points = store.frame(
        f"""
        WITH drawn AS (
            SELECT row_number, example_id, domain, {x} AS x, {y} AS y, {score} AS score
            FROM {rows} JOIN ({places}) USING (example_id) WHERE hash(row_number) % 1000000 < ?
            ORDER BY (row_number() OVER (PARTITION BY domain ORDER BY hash(row_number)) - 0.5)
                / count(*) OVER (PARTITION BY domain), row_number LIMIT {MOST_DRAWN}
        )
        SELECT row_number, domain, x, y, score, {beginning("prompt", _TEXT)} AS text
        FROM drawn JOIN example USING (example_id) ORDER BY row_number
        """,
        [*values, math.ceil(1_000_000 * share)],
    )
    cells = pd.DataFrame({"x_bin": [], "y_bin": [], "rows": []})
    if count > MOST_DRAWN:
        (left, *_, right), (low, *_, high) = x_edges, y_edges
        place = f"least(floor(({{}} - ?) / ?)::INTEGER, {_BINS - 1})"
        cells = store.frame(
            f"SELECT {place.format(x)} AS x_bin, {place.format(y)} AS y_bin, count(*) AS rows "
            f"FROM {rows} JOIN ({places}) USING (example_id) GROUP BY x_bin, y_bin ORDER BY x_bin, y_bin",
            [left, (right - left) / _BINS, low, (high - low) / _BINS, *values],
        )
    return MapPlane(points, cells, x_edges, y_edges, int(count), int(every) - int(count))


def _edges(low: float, high: float) -> list[float]:
    """The edges of equal bins, also where all rows have one place."""
    width = (high - low or 1.0) / _BINS
    return [low + number * width for number in range(_BINS + 1)]
