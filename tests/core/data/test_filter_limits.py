"""Limits of a filter's parts, which anybody may write into a link, and regions compared with a polygon test by hand."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import SelectionInvalid
from core.data.filters import LIMITS, RANGE_COLUMNS, Region, RowFilter
from core.data.scores import SCORES
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run

SIDE = 13
ROWS = [ScoredRow("grid", 10.0 * x, 10.0 * y) for x in range(SIDE) for y in range(SIDE)]
LASSO = ["base_loss", "reference_loss", [[0, 0], [4, 0], [4, 4]]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add_scored_run(opened, ROWS)
        yield opened


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"regions": [LASSO] * 40}, "The filter has 40 regions. Use at most 23."),
        ({"ranges": [["base_loss", 0, 1]] * 47}, "The filter has 47 ranges. Use at most 46."),
        ({"domains": ["chat"] * 10_001}, "The filter has 10,001 domains. Use at most 10,000."),
        ({"without_flags": ["truncated"] * 99}, "The filter has 99 without_flags. Use at most 13."),
        ({"with_flags": ["truncated"] * 99}, "The filter has 99 with_flags. Use at most 13."),
        ({"search": {"query": "a" * 1_001}}, "The filter has 1,001 search characters. Use at most 1,000."),
        (
            {"search": {"query": " ".join(map(str, range(33))), "kind": "words"}},
            "The filter has 33 search words. Use at most 32.",
        ),
        ({"regions": [["base_loss", "reference_loss", [[0, 0]] * 65]]}, "A region has 65 corners. Draw one with 3"),
    ],
)
def test_a_filter_with_too_many_parts_is_refused_in_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SelectionInvalid) as refused:
        RowFilter.from_fields(fields)
    assert str(refused.value).startswith(sentence)


def test_a_filter_at_every_limit_is_taken() -> None:
    full = RowFilter.from_fields(
        {
            "domains": [f"domain {number}" for number in range(LIMITS["domains"])],
            "ranges": [[column, 0, 1] for column in RANGE_COLUMNS] * 2,
            "regions": [["base_loss", "reference_loss", [[0, 0]] * LIMITS["corners of a region"]]] * LIMITS["regions"],
            "search": {"query": "word " * 200, "kind": "words"},  # a word that is repeated is looked for once
        }
    )
    assert full.search.needles() == ["word"]


def test_every_lasso_that_the_charts_offer_fits_into_one_filter() -> None:
    over_length, losses_against_each_other = len(SCORES), 1
    assert LIMITS["regions"] >= over_length + losses_against_each_other


def test_regions_hold_what_a_ray_from_each_point_says(store: Store) -> None:
    """Corners on the points' own grid, so that many points lie on corners and edges."""
    choice, table = random.Random(5), store.run("first")["table"]
    points = {(float(x), float(y)) for x in range(SIDE) for y in range(SIDE)}
    for corner_count in [3, 4, 5, 8, 12, 24, 48, 64] * 4:
        corners = tuple((float(choice.randint(0, 12)), float(choice.randint(0, 12))) for _ in range(corner_count))
        condition, values = RowFilter(regions=(Region("base_loss", "reference_loss", corners),)).where()
        found = store.rows(f"SELECT base_loss, reference_loss FROM {table} WHERE {condition}", values)
        assert {(x, y) for x, y in found} == {point for point in points if is_inside(point, corners)}


def is_inside(point: tuple[float, float], corners: tuple[tuple[float, float], ...]) -> bool:
    """Even-odd rule, edge by edge."""
    (x, y), inside = point, False
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if (y < y1) != (y < y2) and x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1)):
            inside = not inside
    return inside
