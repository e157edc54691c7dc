"""The cut-offs beside the amounts have equal decimals."""

import pytest

from ui.curate.controls import same_decimals


@pytest.mark.parametrize(
    ("cuts", "texts"),
    [
        ([0.47297, 0.7815, -0.0004], ["0.473", "0.781", "0.000"]),
        ([3.14159, 0.5], ["3.14", "0.50"]),
        ([1234.5], ["1234"]),
        ([0.00123456], ["0.00123"]),
        ([0.0], ["0.000"]),
        ([], []),
    ],
)
def test_all_have_as_many_decimals_as_the_largest_with_three_digits(cuts: list[float], texts: list[str]) -> None:
    named = {str(place): value for place, value in enumerate(cuts)}
    assert list(same_decimals(named).values()) == texts
