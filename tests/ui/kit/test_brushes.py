"""Selection events as Streamlit 1.67 sends them for real drags in a browser, and what is read out of them."""

import math
from typing import Any

import pytest

from core.data.filters import MOST_CORNERS as MOST_CORNERS_OF_A_FILTER
from ui.kit.brushes import MOST_CORNERS, brushed_box, brushed_lasso, brushed_range

# A drag from right to left and upwards over a histogram.
BOX = {"xref": "x", "yref": "y", "x": [0.6900000000000001, 0.31], "y": [20.72624077906123, 82.90496311624491]}
# A drag over a log axis from 1 to 1000: values, not exponents.
LOG_BOX = {"xref": "x", "yref": "y", "x": [6.121810692156155, 60.81459696485576], "y": [84.685, 21.239]}
LASSO = {
    "xref": "x",
    "yref": "y",
    "x": [7.9093345697580535, 62.94150345406079, 31.526182886436672, 3.9616328570575474],
    "y": [801.7251908396947, 702.587786259542, 203.08778625954199, 401.36259541984737],
}


def event(boxes: list[dict[str, Any]] | None = None, lassos: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"selection": {"points": [], "point_indices": [], "box": boxes or [], "lasso": lassos or []}}


def circle(corners: int, radius: float = 2.0) -> dict[str, Any]:
    turns = [2 * math.pi * number / corners for number in range(corners)]
    return {"x": [5 + radius * math.cos(turn) for turn in turns], "y": [radius * math.sin(turn) for turn in turns]}


def area(corners: list[tuple[float, float]]) -> float:
    """By the shoelace formula."""
    following = [*corners[1:], corners[0]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(corners, following, strict=True))) / 2


def test_a_drag_in_any_direction_gives_the_low_end_first() -> None:
    assert brushed_range(event([BOX])) == (0.31, 0.69)
    assert brushed_range(event([BOX]), "y") == pytest.approx((20.73, 82.9), abs=0.01)
    assert brushed_box(event([BOX])) == ((0.31, 0.69), brushed_range(event([BOX]), "y"))


def test_values_on_a_log_axis_are_taken_as_they_are() -> None:
    assert brushed_range(event([LOG_BOX])) == pytest.approx((6.12, 60.81), abs=0.01)


def test_a_range_is_rounded_to_what_a_pointer_can_tell_apart() -> None:
    low, high = brushed_range(event([{"x": [0.123456789, 0.123987654], "y": [0, 1]}])) or (0, 0)
    assert (low, high) == (0.1234568, 0.1239877)
    assert brushed_range(event([{"x": [12345.678, 987654.321], "y": [0, 1]}])) == (12300.0, 987700.0)


def test_an_empty_event_is_no_brush() -> None:
    for empty in (None, {}, event()):
        assert (brushed_range(empty), brushed_box(empty), brushed_lasso(empty)) == (None, None, None)


def test_a_box_is_no_lasso_and_a_lasso_no_box() -> None:
    assert brushed_lasso(event([BOX])) is None
    assert brushed_box(event(lassos=[LASSO])) is None


def test_of_several_boxes_the_last_one_counts() -> None:
    assert brushed_range(event([LOG_BOX, BOX])) == (0.31, 0.69)


def test_a_drag_without_extent_selects_nothing() -> None:
    assert brushed_range(event([{"x": [0.5, 0.5], "y": [0, 1]}])) is None
    assert brushed_lasso(event(lassos=[{"x": [1, 2, 3], "y": [1, 1, 1]}])) is None
    assert brushed_lasso(event(lassos=[{"x": [1, 2], "y": [1, 2]}])) is None


def test_a_short_lasso_keeps_its_corners_in_order() -> None:
    corners = brushed_lasso(event(lassos=[LASSO]))
    assert corners == [(7.91, 801.7), (62.94, 702.6), (31.53, 203.1), (3.96, 401.4)]


def test_a_closed_lasso_names_its_first_corner_once() -> None:
    closed = {axis: [*LASSO[axis], LASSO[axis][0]] for axis in ("x", "y")}
    assert brushed_lasso(event(lassos=[closed])) == brushed_lasso(event(lassos=[LASSO]))


def test_a_long_lasso_is_simplified_and_keeps_its_area() -> None:
    corners = brushed_lasso(event(lassos=[circle(400)])) or []
    assert len(corners) == MOST_CORNERS <= MOST_CORNERS_OF_A_FILTER
    assert area(corners) == pytest.approx(math.pi * 4, rel=0.01)


def test_a_lasso_over_a_log_axis_keeps_its_shape_at_the_low_end() -> None:
    round_on_screen = circle(400)
    lasso = {"x": [10 ** (x - 4) for x in round_on_screen["x"]], "y": round_on_screen["y"]}  # 0.1 to 1000
    corners = brushed_lasso(event(lassos=[lasso]), log_x=True) or []
    assert area([(math.log10(x), y) for x, y in corners]) == pytest.approx(math.pi * 4, rel=0.01)
    as_if_linear = brushed_lasso(event(lassos=[lasso])) or []
    low = [x for x, _ in corners if x < 10]
    assert len(low) > 2 * len([x for x, _ in as_if_linear if x < 10])
