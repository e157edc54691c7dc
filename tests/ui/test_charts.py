"""Charts, read as the figure's data: what is drawn, in which colour, and that no text from data is markup."""

import json

import pandas as pd
import pytest

from core.exploring.distributions import Histogram
from core.exploring.length_bias import LengthPlane
from core.exploring.loss_plane import LossPlane
from ui.charts import (
    PALETTE,
    QUADRANTS,
    axis_title,
    domain_colours,
    histogram_figure,
    length_plane_figure,
    length_points_figure,
    loss_plane_figure,
    loss_points_figure,
)

HOSTILE = "<img src=x onerror=alert(1)>"


def counted(domains: dict[str, list[int]]) -> Histogram:
    """Two bins of width 0.5 from 0 to 1 a domain, with one row below and two without a score each."""
    bins = pd.DataFrame(
        [(name, place / 2, (place + 1) / 2, rows) for name, both in domains.items() for place, rows in enumerate(both)],
        columns=["domain", "bin_low", "bin_high", "rows"],
    )
    outside = pd.DataFrame({"domain": list(domains), "below": 1, "above": 0, "no_score": 2})
    return Histogram("learnability", 0.0, 1.0, bins, outside)


def points() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row_number": [1, 2],
            "domain": ["chat", HOSTILE],
            "base_loss": [2.0, 1.0],
            "reference_loss": [1.0, 1.5],
            "learnability": [0.5, -0.5],
            "token_count": [10, 900],
        }
    )


def test_a_domain_has_the_same_colour_on_every_chart() -> None:
    colours = domain_colours(["math", "chat", HOSTILE])
    bars = histogram_figure(counted({"math": [3, 1], "chat": [1, 2]}), colours)
    plane = loss_points_figure(points(), colours)
    assert {trace.name: trace.line.color for trace in bars.data} == {"chat": colours["chat"], "math": colours["math"]}
    assert {trace.name: trace.marker.color for trace in plane.data}["chat"] == colours["chat"]


def test_colours_do_not_depend_on_the_order_of_names_and_never_run_out() -> None:
    assert domain_colours(["b", "a", "a"]) == domain_colours(["a", "b"]) == {"a": PALETTE[0], "b": PALETTE[1]}
    assert len(domain_colours([f"domain {number}" for number in range(30)])) == 30


def test_a_histogram_draws_its_counts_as_steps_on_the_bins_edges() -> None:
    figure = histogram_figure(counted({"chat": [3, 1]}), {"chat": PALETTE[0]})
    (trace,) = figure.data
    assert trace.line.shape == "hvh"
    assert list(trace.x) == [-0.25, 0.25, 0.75, 1.25]
    assert list(trace.y) == [0, 3, 1, 0]
    assert figure.layout.yaxis.title.text == "Rows"
    assert figure.layout.xaxis.title.text == "Learnability (share of the base loss)"


def test_density_counts_the_rows_outside_the_axis_too() -> None:
    figure = histogram_figure(counted({"chat": [3, 1]}), {"chat": PALETTE[0]}, density=True)
    assert list(figure.data[0].y) == pytest.approx([0, 3 / (5 * 0.5), 1 / (5 * 0.5), 0])


def test_rows_that_are_not_drawn_are_said() -> None:
    figure = histogram_figure(counted({"chat": [3, 1], "math": [1, 1]}), domain_colours(["chat", "math"]))
    assert figure.layout.title.subtitle.text == "Not drawn: 2 rows below 0, 4 without this score"


def test_one_above_another_gives_each_domain_its_own_axis_and_cut() -> None:
    colours = domain_colours(["chat", "math"])
    cuts = {"chat": 0.25, "math": 0.75, "unknown": 0.1}
    figure = histogram_figure(counted({"chat": [3, 1], "math": [1, 1]}), colours, one_above_another=True, cuts=cuts)
    assert [trace.yaxis for trace in figure.data] == ["y", "y2"]
    assert [(line.x0, line.line.color, line.xref) for line in figure.layout.shapes] == [
        (0.25, colours["chat"], "x"),
        (0.75, colours["math"], "x2"),
    ]


def test_an_empty_histogram_is_an_empty_chart() -> None:
    assert len(histogram_figure(counted({}), {}).data) == 0


def test_markup_in_a_domain_name_is_shown_as_text() -> None:
    colours = domain_colours([HOSTILE, "chat"])
    figures = (
        histogram_figure(counted({HOSTILE: [1, 2]}), colours, cuts={HOSTILE: 0.5}),
        histogram_figure(counted({HOSTILE: [1, 2], "chat": [1, 1]}), colours, one_above_another=True),
        loss_points_figure(points(), colours),
        length_points_figure(points(), "learnability", colours),
    )
    for figure in figures:
        text = json.dumps(figure.to_dict(), default=str)
        assert "<img" not in text
        assert "&lt;img" in text


def test_the_loss_plane_names_its_quadrants_and_marks_no_change() -> None:
    cells = pd.DataFrame({"domain": ["a", "b"], "base_bin": [1, 1], "reference_bin": [0, 0], "rows": [4, 6]})
    figure = loss_plane_figure(LossPlane(2.0, 2, cells, 13, 3, 1.5, 0.5))
    assert {note.text for note in figure.layout.annotations} == set(QUADRANTS.values())
    diagonal = figure.layout.shapes[0]
    assert (diagonal.x0, diagonal.y0, diagonal.x1, diagonal.y1) == (0, 0, 2.0, 2.0)
    assert figure.data[0].customdata[0][1] == 10
    assert figure.data[0].z[0][1] == pytest.approx(1.0)
    assert figure.data[0].z[1][1] is None
    assert "3 of 13 rows lie beyond 2.00" in figure.layout.title.subtitle.text


def test_a_point_carries_its_row_number() -> None:
    figure = loss_points_figure(points(), domain_colours(["chat"]))
    assert sorted(int(trace.customdata[0]) for trace in figure.data) == [1, 2]


def test_the_length_chart_draws_a_median_only_where_there_are_rows_enough() -> None:
    cells = pd.DataFrame({"length_bin": [0, 1], "score_bin": [0, 0], "rows": [12, 3]})
    medians = pd.DataFrame({"length_bin": [0, 1], "median": [0.1, 0.4], "rows": [12, 3]})
    figure = length_plane_figure(LengthPlane("learnability", [1, 4, 16], [0.0, 0.5], cells, medians, 0))
    assert figure.layout.xaxis.type == "log"
    assert list(figure.data[1].x) == [2.0]
    assert list(figure.data[1].y) == [0.1]


def test_axis_titles_name_the_unit_once() -> None:
    assert axis_title("base_perplexity") == "Base perplexity"
    assert axis_title("loss_difference") == "Loss difference (nats per token)"
    assert axis_title("token_count") == "Response length (tokens)"
