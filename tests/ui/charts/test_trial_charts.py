"""The charts of trials, read as the figure's data."""

import json

import pandas as pd
import pytest

from core.evidence.trial_statistics import BETTER, NOT_DISTINGUISHABLE, WORSE
from ui.charts.trial_charts import forest_figure, ratio_curve_figure

HOSTILE = "<img src=x onerror=alert(1)>"
ARMS = pd.DataFrame(
    {
        "arm": ["top", "longest", HOSTILE, "theirs"],
        "difference": [-0.1, 0.0, 0.2, 0.1],
        "low": [-0.15, -0.05, 0.1, 0.0],
        "high": [-0.05, 0.05, 0.3, 0.2],
        "verdict": [BETTER, NOT_DISTINGUISHABLE, WORSE, "too few runs for a verdict: 1 of at least 3"],
    }
)
CURVE = pd.DataFrame(
    {
        "arm": ["top", "top", "random", "random", "all"],
        "ratio": [0.06, 0.33, 0.06, 0.33, None],
        "runs": [3, 3, 9, 9, 3],
        "loss": [2.0, 1.9, 2.1, 2.0, 1.8],
        "low": [1.9, 1.8, 2.05, 1.95, None],
        "high": [2.1, 2.0, 2.15, 2.05, None],
    }
)


def test_each_arm_has_its_own_row_and_its_verdict_a_colour_and_a_form() -> None:
    figure = forest_figure(ARMS, "random", "All held-out rows")
    marks = {trace.name: trace for trace in figure.data}
    assert list(marks) == [BETTER, WORSE, NOT_DISTINGUISHABLE, "no verdict"]
    assert [marks[name].y[0] for name in marks] == [3, 1, 2, 0]
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 4
    assert marks[BETTER].error_x.array[0] == pytest.approx(0.05)
    assert marks[BETTER].error_x.arrayminus[0] == pytest.approx(0.05)


def test_zero_is_in_the_middle_and_both_sides_say_in_words_what_they_mean() -> None:
    figure = forest_figure(ARMS, "random", "All held-out rows")
    low, high = figure.layout.xaxis.range
    assert low == -high < -0.3
    assert figure.layout.xaxis.zeroline
    assert [note.text for note in figure.layout.annotations] == ["← better: lower loss", "worse: higher loss →"]
    assert "<img" not in json.dumps(figure.to_dict(), default=str)


def test_a_curve_has_a_band_and_an_arm_without_shares_is_a_level_line() -> None:
    figure = ratio_curve_figure(CURVE, ["top", "random", "all"], "random")
    lines = {trace.name: trace for trace in figure.data if trace.name}
    assert lines["top"].x == (0.06, 0.33)
    assert lines["all"].y == (1.8, 1.8)
    assert sum(trace.fill == "toself" for trace in figure.data) == 2
    assert (lines["random"].line.dash, lines["top"].line.dash) == ("dash", "solid")
    assert not figure.layout.shapes


def test_the_share_that_is_chosen_is_marked() -> None:
    figure = ratio_curve_figure(CURVE, ["top", "random"], "random", 0.1, small=True)
    assert [shape.x0 for shape in figure.layout.shapes] == [0.1]
