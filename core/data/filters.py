"""A filter over a run's rows, as a value: what the pages, recipes and queries all mean by "these rows"."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

from .errors import SelectionInvalid
from .json_types import checked, checked_fields, shown
from .loss_roles import is_imported
from .map_columns import inside_sql, map_of
from .scores import FLAGS, SCORES
from .text_search import ANY_TEXT, TextSearch

RANGE_COLUMNS = (*SCORES, "token_count")
"""Columns of every scored table that a range can be put on; imported scores are others."""

LIMITS = {
    "domains": 10_000,
    "ranges": 2 * len(RANGE_COLUMNS),
    "regions": len(RANGE_COLUMNS),
    "without_flags": len(FLAGS),
    "with_flags": len(FLAGS),
    "search characters": 1_000,
    "search words": 32,
    "corners of a region": 64,
}
"""Most parts of a filter. A link is written by anybody, and each part costs time for every row. The charts draw each
score over the length, and two losses against each other: a region for each column is all that can be drawn."""
MOST_CORNERS = LIMITS["corners of a region"]
_MOST_TOKENS = 2**53

Query = tuple[str, list[Any]]
"""SQL text and its parameters, in order."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """A polygon's edge from `low` to `high`, on the line through (x, y)."""

    low: float
    high: float
    x: float
    y: float
    slope: float


def check_column(column: str) -> None:
    """Raise `SelectionInvalid` unless the column is one of `RANGE_COLUMNS` or an imported score."""
    if column not in RANGE_COLUMNS and not is_imported(column):
        raise SelectionInvalid(f"Unknown column {shown(column)}. Must be one of: {', '.join(RANGE_COLUMNS)}.")


def _check_filtered(column: str) -> None:
    """Like `check_column`; places on a map can be filtered too (`core.data.map_columns`)."""
    if map_of(column) is None:
        check_column(column)


@dataclass(frozen=True, slots=True)
class Range:
    """Closed interval on a column of `RANGE_COLUMNS` or of a map; None leaves an end open. NULL is in no range."""

    column: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        _check_filtered(self.column)
        most = _MOST_TOKENS if self.column == "token_count" else sys.float_info.max
        if not all(bound is None or abs(bound) <= most for bound in (self.low, self.high)):
            raise SelectionInvalid(f"The range of {self.column} has an end that no row can have. Leave it open.")

    def condition(self) -> Query:
        """SQL condition, never NULL."""
        parts, parameters = [f"{self.column} IS NOT NULL"], []
        for comparison, value in ((">=", self.low), ("<=", self.high)):
            if value is not None:
                parts.append(f"{self.column} {comparison} ?")
                parameters.append(value)
        return " AND ".join(parts), parameters


@dataclass(frozen=True, slots=True)
class Region:
    """Inside of a polygon drawn over two columns of `RANGE_COLUMNS`, or both of one map (a lasso): `corners` are
    (x, y), 3 to `MOST_CORNERS` of them, joined in order and closed. NULL is in no region."""

    x: str
    y: str
    corners: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        for column in (self.x, self.y):
            _check_filtered(column)
        if map_of(self.x) != map_of(self.y):
            raise SelectionInvalid("A region has a side on a map and one elsewhere. Draw it again.")
        if not 3 <= len(self.corners) <= MOST_CORNERS:
            raise SelectionInvalid(f"A region has {len(self.corners)} corners. Draw one with 3 to {MOST_CORNERS}.")
        if not all(len(corner) == 2 and all(map(math.isfinite, corner)) for corner in self.corners):
            raise SelectionInvalid("A region has a corner that is not two numbers. Draw it again.")

    def condition(self) -> Query:
        """SQL condition, never NULL. The box around the corners comes first, which spares most rows the rest."""
        edges = [
            _Edge(min(y1, y2), max(y1, y2), x1, y1, (x2 - x1) / (y2 - y1))
            for (x1, y1), (x2, y2) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True)
            if y1 != y2
        ]
        if not edges:
            return "false", []
        (left, right), (low, high) = ((min(values), max(values)) for values in zip(*self.corners, strict=True))
        inside, parameters = self._is_inside(edges, low, high)
        sql = (
            f"{self.x} IS NOT NULL AND {self.y} IS NOT NULL AND {self.x} BETWEEN ? AND ? AND {self.y} >= ? "
            f"AND {self.y} < ? AND {inside}"
        )
        return sql, [left, right, low, high, *parameters]

    def _is_inside(self, edges: list[_Edge], low: float, high: float) -> Query:
        """Even-odd rule for points with `low` <= y < `high`: a point is inside if a ray from it crosses an odd number
        of edges.

        Edges that reach from `low` to `high` are tested for each point. The others are divided at a corner into those
        above and those below, so that a point is compared with few of them: a segment tree of CASEs, four times as
        quick for a drawn lasso of 48 corners as testing every edge for every point.
        """
        through = [edge for edge in edges if edge.low <= low and high <= edge.high]
        others = [edge for edge in edges if edge not in through]
        tests: list[Query] = [
            (f"({self.x} < ? + ({self.y} - ?) * ?)", [edge.x, edge.y, edge.slope]) for edge in through
        ]
        if others:
            ends = sorted(y for edge in others for y in (edge.low, edge.high) if low < y < high)
            middle = ends[len(ends) // 2]
            below, below_values = self._is_inside([edge for edge in others if edge.low < middle], low, middle)
            above, above_values = self._is_inside([edge for edge in others if edge.high > middle], middle, high)
            case = f"(CASE WHEN {self.y} < ? THEN {below} ELSE {above} END)"
            tests.append((case, [middle, *below_values, *above_values]))
        sql = reduce("({} <> {})".format, (test for test, _ in tests)) if tests else "false"
        return sql, [value for _, values in tests for value in values]


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Rows that pass all of: one of `domains` (empty: any), every range and region, no flag of `without_flags`, every
    flag of `with_flags`, and the text search."""

    domains: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    without_flags: tuple[str, ...] = ()
    with_flags: tuple[str, ...] = ()
    search: TextSearch = ANY_TEXT
    regions: tuple[Region, ...] = ()
    matches: str = field(default="", compare=False)
    """A table that holds the example_ids that the search finds, where the store has looked already."""
    inside: str = field(default="", compare=False)
    """Likewise of those inside the conditions on maps."""

    def __post_init__(self) -> None:
        sizes = {
            "domains": len(self.domains),
            "ranges": len(self.ranges),
            "regions": len(self.regions),
            "without_flags": len(self.without_flags),
            "with_flags": len(self.with_flags),
            "search characters": len(self.search.query),
            "search words": len(self.search.needles()),
        }
        for part, size in sizes.items():
            if size > LIMITS[part]:
                raise SelectionInvalid(f"The filter has {size:,} {part}. Use at most {LIMITS[part]:,}.")
        for flag in (*self.without_flags, *self.with_flags):
            if flag not in FLAGS:
                raise SelectionInvalid(f"Unknown flag {shown(flag)}. Must be one of: {', '.join(FLAGS)}.")

    def conditions(self) -> list[tuple[str, Query]]:
        """Each condition as (reason a row that fails it is left out, SQL over the scored table and parameters).

        A condition is never NULL. The text condition reads the store's `example` table.
        """
        found: list[tuple[str, Query]] = []
        if self.domains:
            found.append(("filtered: domain", self.domain_condition()))
        ranges = [bounds for bounds in self.ranges if not map_of(bounds.column)]
        regions = [area for area in self.regions if not map_of(area.x)]
        found += [(f"filtered: {bounds.column}", bounds.condition()) for bounds in ranges]
        found += [(f"filtered: region of {area.x} and {area.y}", area.condition()) for area in regions]
        if inside := self.inside_maps():
            sql, parameters = (f"SELECT example_id FROM {self.inside}", []) if self.inside else inside
            found.append(("filtered: place on the map", (f"example_id IN ({sql})", parameters)))
        found += [(f"flag: {flag}", (f"NOT {flag}", [])) for flag in self.without_flags]
        found += [(f"filtered: not {flag}", (flag, [])) for flag in self.with_flags]
        if self.search:
            sql, parameters = self.search.condition()
            found_by = f"SELECT example_id FROM example WHERE {sql}"
            if self.matches:
                found_by, parameters = f"SELECT example_id FROM {self.matches}", []
            found.append(("filtered: text", (f"example_id IN ({found_by})", parameters)))
        return found

    def domain_condition(self) -> Query:
        """SQL condition for the rows of `domains`. One parameter, because there may be thousands of them."""
        return "domain IN (SELECT unnest(?::VARCHAR[]))", [list(self.domains)]

    def where(self) -> Query:
        """All conditions as one SQL condition ("true" where there are none)."""
        conditions = [query for _, query in self.conditions()]
        sql = " AND ".join(f"({sql})" for sql, _ in conditions) or "true"
        return sql, [value for _, parameters in conditions for value in parameters]

    def on_columns(self, *columns: str) -> "RowFilter":
        """This filter without its ranges and regions on these columns: what a chart of them draws, so that a brush
        on a chart narrows all the others and not itself."""
        return replace(
            self,
            ranges=tuple(bounds for bounds in self.ranges if bounds.column not in columns),
            regions=tuple(area for area in self.regions if not {area.x, area.y} <= set(columns)),
        )

    def with_range(self, column: str, low: float | None, high: float | None) -> "RowFilter":
        """This filter with one range on the column, or with none where both ends are open."""
        others = tuple(bounds for bounds in self.ranges if bounds.column != column)
        return replace(self, ranges=others if low is None and high is None else (*others, Range(column, low, high)))

    def range_on(self, column: str) -> Range:
        """The first range on the column; an open one where there is none."""
        return next((bounds for bounds in self.ranges if bounds.column == column), Range(column))

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields, for a recipe or a link."""
        return {
            "domains": list(self.domains),
            "ranges": [[bounds.column, bounds.low, bounds.high] for bounds in self.ranges],
            "regions": [[area.x, area.y, [list(corner) for corner in area.corners]] for area in self.regions],
            "without_flags": list(self.without_flags),
            "with_flags": list(self.with_flags),
            "search": self.search.to_fields(),
        }

    def maps(self) -> list[str]:
        """Keys of the maps that it has conditions on."""
        columns = [*(bounds.column for bounds in self.ranges), *(area.x for area in self.regions)]
        return sorted({key for key in map(map_of, columns) if key})

    def inside_maps(self) -> Query | None:
        """SQL of the example_ids that meet all conditions on maps; None without such a condition."""
        found: list[Query] = []
        for key in self.maps():
            queries = [bounds.condition() for bounds in self.ranges if map_of(bounds.column) == key]
            queries += [area.condition() for area in self.regions if map_of(area.x) == key]
            values = [value for _, parameters in queries for value in parameters]
            found.append((inside_sql(key, [f"({sql})" for sql, _ in queries]), values))
        return (" INTERSECT ".join(sql for sql, _ in found), [v for _, vs in found for v in vs]) if found else None

    @classmethod
    def from_fields(cls, fields: Any) -> "RowFilter":
        """Reverse of `to_fields`; `text` of the first recipes is a phrase. Raises `SelectionInvalid` for what it does
        not know."""
        values = dict(fields) if isinstance(fields, Mapping) else fields
        if isinstance(values, dict) and "text" in values:
            phrase = {"query": values.pop("text")}
            values["search"] = values.get("search") or phrase
        readers = {"ranges": _ranges, "regions": _regions, "search": TextSearch.from_fields}
        return cls(**checked_fields(values, cls, "filter", SelectionInvalid, readers))


EVERYTHING = RowFilter()


def _ranges(given: Any) -> tuple[Range, ...]:
    kind = tuple[tuple[str, float | None, float | None], ...]
    return tuple(Range(*bounds) for bounds in checked(given, kind, "The filter", SelectionInvalid, "ranges"))


def _regions(given: Any) -> tuple[Region, ...]:
    kind = tuple[tuple[str, str, tuple[tuple[float, float], ...]], ...]
    return tuple(Region(*area) for area in checked(given, kind, "The filter", SelectionInvalid, "regions"))
