"""The chart of a training, looked at as plotly sends it to the browser."""

import pandas as pd
import pytest

from ui.charts import PALETTE
from ui.charts.training_chart import passes_figure, training_curve_figure

HOSTILE = "<a href='http://example.invalid'>math</a>"
COLOURS = {"chat": PALETTE[0], HOSTILE: PALETTE[1]}


@pytest.fixture
def drawn() -> dict:
    points = pd.DataFrame(
        [(1, 100, "chat", 3.0), (1, 100, HOSTILE, 5.0), (2, 200, "chat", 2.5), (2, 200, HOSTILE, 4.0)],
        columns=["step", "tokens", "domain", "loss"],
    )
    return training_curve_figure(points, COLOURS).to_dict()


def trace(drawn: dict, colour: str) -> dict:
    return next(item for item in drawn["data"] if item["line"]["color"] == colour)


def test_a_domain_is_a_line_of_its_own_colour_over_tokens_seen(drawn: dict) -> None:
    chat = trace(drawn, COLOURS["chat"])
    assert len(drawn["data"]) == 2
    assert chat["name"] == "chat"
    assert list(chat["x"]) == [100, 200]
    assert list(chat["y"]) == [3.0, 2.5]


def test_a_single_point_can_be_seen() -> None:
    point = pd.DataFrame([(1, 100, "chat", 3.0)], columns=["step", "tokens", "domain", "loss"])
    assert "markers" in training_curve_figure(point, COLOURS).to_dict()["data"][0]["mode"]


def test_the_axes_name_their_units_and_begin_at_zero(drawn: dict) -> None:
    layout = drawn["layout"]
    assert layout["xaxis"]["title"]["text"] == "Scored tokens seen"
    assert layout["yaxis"]["title"]["text"] == "Loss (nats per token)"
    assert layout["xaxis"]["rangemode"] == layout["yaxis"]["rangemode"] == "tozero"
    assert layout["title"]["text"]


def test_a_domain_of_one_is_named_too() -> None:
    point = pd.DataFrame([(1, 100, "chat", 3.0)], columns=["step", "tokens", "domain", "loss"])
    assert training_curve_figure(point, COLOURS).to_dict()["layout"]["showlegend"]


def test_held_out_and_own_losses_are_means_over_tokens_by_pass() -> None:
    lines = [
        (0.0, "held_out", "a", 10, 30.0), (0.0, "held_out", "b", 30, 30.0), (1.0, "held_out", "a", 10, 20.0),
        (0.0, "own", "a", 5, 10.0), (1.0, "own", "a", 5, 5.0),
    ]  # fmt: skip
    drawn = passes_figure(pd.DataFrame(lines, columns=["passes", "rows", "domain", "tokens", "nll_sum"])).to_dict()
    held_out, own = drawn["data"]
    assert (list(held_out["x"]), list(held_out["y"])) == ([0.0, 1.0], [1.5, 2.0])
    assert (list(own["x"]), list(own["y"])) == ([0.0, 1.0], [2.0, 1.0])
    assert drawn["layout"]["xaxis"]["title"]["text"] == "Passes over the data"


def test_a_domains_name_is_never_html(drawn: dict) -> None:
    hostile = trace(drawn, COLOURS[HOSTILE])
    assert "<a " not in hostile["name"]
    assert "<a " not in hostile["hovertemplate"]
