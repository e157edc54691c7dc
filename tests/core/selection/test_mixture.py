"""Weights of a mixture: scaled to 100 around the locked ones, started from sizes, and refused in a sentence."""

import math

import pytest

from core.data.errors import SelectionInvalid
from core.selection.mixture import STARTS, normalised, shares, starting_weights, total


def test_unlocked_weights_are_scaled_alike_so_that_all_add_up_to_100() -> None:
    assert normalised({"chat": 30, "code": 10, "math": 10}) == {"chat": 60, "code": 20, "math": 20}


def test_locked_weights_stay_as_they_are() -> None:
    found = normalised({"chat": 50, "code": 30, "math": 45}, {"chat"})
    assert found == {"chat": 50, "code": 20, "math": 30}


def test_rounded_parts_still_add_up_to_exactly_100() -> None:
    found = normalised({f"domain {number}": 1 for number in range(7)})
    assert total(found) == 100
    assert max(found.values()) - min(found.values()) < 0.001


def test_locked_weights_that_fill_the_whole_leave_the_others_nothing() -> None:
    assert normalised({"chat": 100, "code": 7}, {"chat"}) == {"chat": 100, "code": 0}


def test_all_locked_at_100_changes_nothing() -> None:
    assert normalised({"chat": 60, "code": 40}, {"chat", "code"}) == {"chat": 60, "code": 40}


@pytest.mark.parametrize(
    ("weights", "locked", "sentence"),
    [
        ({"chat": 70, "code": 50}, {"chat", "code"}, "locked weights add up to 120 %"),
        ({"chat": 70, "code": 20}, {"chat", "code"}, "All weights are locked and add up to 90 %"),
        (
            {"chat": 70, "code": 0},
            {"chat"},
            "All unlocked weights are 0, so they cannot be scaled to the remaining 30 %",
        ),
        ({"chat": 0, "code": 0}, set(), "All unlocked weights are 0"),
    ],
)
def test_what_cannot_be_normalised_is_said(weights: dict[str, float], locked: set[str], sentence: str) -> None:
    with pytest.raises(SelectionInvalid, match=sentence):
        normalised(weights, locked)


def test_relative_weights_come_to_shares_of_their_sum() -> None:
    assert shares({"chat": 3, "code": 1}) == {"chat": 75, "code": 25}
    assert shares({"chat": 0, "code": 0}) == {"chat": 0, "code": 0}


def test_starts_follow_the_sizes_as_they_say() -> None:
    sizes = {"large": 900, "small": 100}
    found = {name: starting_weights(name, sizes, {}) for name in STARTS}
    assert found == {
        "data": {"large": 90, "small": 10},
        "equal": {"large": 50, "small": 50},
        "root": {"large": 75, "small": 25},
    }


def test_a_start_leaves_locked_weights_and_divides_the_rest() -> None:
    sizes = {"chat": 400, "code": 100, "math": 100}
    found = starting_weights("root", sizes, {"chat": 5, "code": 70, "math": 1}, {"code"})
    assert found == {"chat": 20, "code": 70, "math": 10}


def test_a_domain_of_one_row_in_a_million_keeps_a_weight() -> None:
    found = starting_weights("data", {"large": 999_999, "tiny": 1}, {})
    assert found["tiny"] == pytest.approx(0.0001)
    assert math.isclose(total(found), 100)
