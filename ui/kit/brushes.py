"""Reads a chart's selection event: returns the range, box or polygon of a drag, in data units.

Streamlit's event has `selection.box` and `selection.lasso`, in data units on log axes too. Ends are in the order of
the drag. A second drag with the shift key is appended to the list; the last one is used.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Span = tuple[float, float]
Corner = tuple[float, float]

MOST_CORNERS = 48
"""The most corners of a simplified lasso: precise enough, and short enough for a URL."""
_STEPS = 1000  # resolution of a selection


def brushed_range(event: Mapping[str, Any] | None, axis: Literal["x", "y"] = "x") -> Span | None:
    """The range that a box selects on an axis, low end first; None without a box, for example when it was cleared.

    Ends are rounded to about a thousandth of the range, so that URLs stay short.
    """
    box = _last(event, "box")
    return None if box is None else _rounded_span(box[axis])


def brushed_box(event: Mapping[str, Any] | None) -> tuple[Span, Span] | None:
    """The x and y ranges that a box selects; None without a box."""
    box = _last(event, "box")
    if box is None:
        return None
    x, y = _rounded_span(box["x"]), _rounded_span(box["y"])
    return None if x is None or y is None else (x, y)


def brushed_lasso(event: Mapping[str, Any] | None, *, log_x: bool = False) -> list[Corner] | None:
    """The corners (x, y) of a lasso, at most `MOST_CORNERS`, the last joined to the first; None without a lasso or if
    it encloses nothing. `log_x`: the x axis is logarithmic, so the lasso is simplified on that scale."""
    lasso = _last(event, "lasso")
    if lasso is None:
        return None
    corners = [(float(x), float(y)) for x, y in zip(lasso["x"], lasso["y"], strict=True)]
    corners = [corner for corner in corners if all(map(math.isfinite, corner)) and (corner[0] > 0 or not log_x)]
    if corners and corners[0] == corners[-1]:
        corners.pop()
    corners = _simplified(corners, log_x)
    if len(corners) < 3:
        return None
    across, up = (_digits([corner[axis] for corner in corners]) for axis in (0, 1))
    if across is None or up is None:
        return None
    if log_x:  # a thousandth of the range is too coarse at the low end of a log axis
        return [(_significant(x), round(y, up)) for x, y in corners]
    return [(round(x, across), round(y, up)) for x, y in corners]


def _last(event: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    selection = (event or {}).get("selection") or {}
    drawn: Sequence[Mapping[str, Any]] = selection.get(kind) or ()
    return drawn[-1] if drawn else None


def _rounded_span(ends: Sequence[float]) -> Span | None:
    digits = _digits(ends)
    return None if digits is None else (round(float(min(ends)), digits), round(float(max(ends)), digits))


def _digits(values: Sequence[float]) -> int | None:
    """Decimal places that resolve a thousandth of the values' range; None if the range is empty."""
    extent = max(values, default=0.0) - min(values, default=0.0)
    if not math.isfinite(extent) or extent <= 0:
        return None
    return math.ceil(math.log10(_STEPS / extent))


def _significant(value: float) -> float:
    return float(f"{value:.4g}")


def _simplified(corners: list[Corner], log_x: bool) -> list[Corner]:
    """Remove corners until `MOST_CORNERS` are left: always the one whose triangle with its neighbours is smallest
    (Visvalingam and Whyatt). The order of triangle areas does not depend on the units of the axes."""
    kept = list(corners)
    seen = [(math.log(x), y) for x, y in corners] if log_x else list(corners)
    while len(kept) > MOST_CORNERS:
        areas = [_triangle(seen[place - 1], seen[place], seen[(place + 1) % len(seen)]) for place in range(len(seen))]
        least = areas.index(min(areas))
        del kept[least], seen[least]
    return kept


def _triangle(first: Corner, second: Corner, third: Corner) -> float:
    """Twice a triangle's area."""
    return abs((second[0] - first[0]) * (third[1] - first[1]) - (third[0] - first[0]) * (second[1] - first[1]))
