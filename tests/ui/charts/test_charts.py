"""Charts, read as the figure's data: what is drawn, in which colour, and that no text from data is markup."""

import json
import math
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go
import pytest

from core.exploring.density import smoothed
from core.exploring.distributions import Histogram
from core.exploring.length_bias import LengthPlane
from core.exploring.loss_plane import LossPlane
from ui.charts import (
    BRUSH,
    PALETTE,
    QUADRANTS,
    axis_title,
    density_figure,
    domain_colours,
    ecdf_figure,
    histogram_figure,
    length_plane_figure,
    length_points_figure,
    loss_plane_figure,
    loss_points_figure,
    ridgeline_figure,
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


def logarithmic() -> Histogram:
    """Two bins of a decade each."""
    bins = pd.DataFrame({"domain": "chat", "bin_low": [1.0, 10.0], "bin_high": [10.0, 100.0], "rows": [2, 4]})
    outside = pd.DataFrame({"domain": ["chat"], "below": 0, "above": 0, "no_score": 0})
    return Histogram("base_loss", 1.0, 100.0, bins, outside, log=True)


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


def test_rows_that_are_not_drawn_are_said() -> None:
    figure = histogram_figure(counted({"chat": [3, 1], "math": [1, 1]}), domain_colours(["chat", "math"]))
    assert figure.layout.title.subtitle.text == "Not drawn: 2 rows below 0, 4 rows without this score"


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
    assert math.isnan(figure.data[0].z[1][1])
    assert "3 of 13 rows have a loss above 2.00" in figure.layout.title.subtitle.text


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


def brushes(figure: go.Figure) -> list[go.layout.Shape]:
    return [shape for shape in figure.layout.shapes if shape.name == BRUSH]


def test_a_histogram_on_a_log_axis_has_its_steps_at_the_bins_edges() -> None:
    figure = histogram_figure(logarithmic(), {"chat": PALETTE[0]})
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.range) == pytest.approx([0, 2])
    assert figure.layout.xaxis.title.text == "Base loss (nats per token, log scale)"
    assert list(figure.layout.xaxis.ticktext) == ["1", "2", "5", "10", "20", "50", "100"]
    middle = [(a * b) ** 0.5 for a, b in pairwise(figure.data[0].x)]  # where "hvh" steps up or down, as it is seen
    assert middle == pytest.approx([1, 10, 100])


def test_a_log_scale_of_counts_keeps_empty_bins_below_one_row() -> None:
    figure = histogram_figure(counted({"chat": [0, 100]}), {"chat": PALETTE[0]}, log_counts=True)
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.yaxis.title.text == "Rows (log scale)"
    heights = figure.data[0].y
    assert (heights > 0).all()
    assert heights[1] < 1
    assert heights[2] == 100
    assert list(figure.data[0].customdata[1][:1]) == [0]  # what is read out is the count


def test_the_pointer_reads_out_rows_and_percentiles_of_the_domain() -> None:
    figure = histogram_figure(counted({"chat": [3, 1]}), {"chat": PALETTE[0]})
    (trace,) = figure.data
    assert "percentile" in trace.hovertemplate
    # One row below the axis, three and one in the bins: 1 of 5, 4 of 5, 5 of 5.
    assert [list(line[:3]) for line in trace.customdata[1:3]] == [[3, 20, 80], [1, 80, 100]]
    assert figure.layout.xaxis.unifiedhovertitle.text == "Learnability %{x:.3g}"


def test_the_cumulative_share_counts_rows_beyond_the_axis_and_ends_at_all() -> None:
    figure = ecdf_figure(counted({"chat": [3, 1]}), {"chat": PALETTE[0]})
    assert list(figure.data[0].x) == [0, 0.5, 1]
    assert list(figure.data[0].y) == [20, 80, 100]
    assert figure.layout.yaxis.title.text == "Rows below (% of the domain)"
    assert figure.layout.title.subtitle.text.startswith("Outside the axis: 1 row below 0")


def test_a_density_says_that_it_is_smoothed_and_in_what_unit() -> None:
    linear = density_figure(smoothed(counted({"chat": [3, 1]})), {"chat": PALETTE[0]})
    assert linear.layout.yaxis.title.text == "Density (share of rows per unit)"
    assert "Gaussian smoothing, width 0.5" in linear.layout.title.subtitle.text
    decades = density_figure(smoothed(logarithmic()), {"chat": PALETTE[0]})
    assert decades.layout.yaxis.title.text == "Density (share of rows per decade)"
    assert "decades" in decades.layout.title.subtitle.text


def test_a_ridge_stands_on_its_domains_line_with_median_and_quartiles() -> None:
    quartiles = pd.DataFrame({"domain": ["chat", "math"], "q25": [0.3, 0.3], "median": [0.5, 0.6], "q75": [0.7, 9.9]})
    colours = domain_colours(["chat", "math"])
    figure = ridgeline_figure(smoothed(counted({"chat": [3, 1], "math": [1, 1]})), quartiles, colours)
    assert dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True)) == {"chat": 1, "math": 0}
    upright = [line for line in figure.data if len(line.x) == 2 and line.x[0] == line.x[1]]
    chat = [line for line in upright if line.line.color == colours["chat"]]
    assert [(line.x[0], line.y[0], line.line.width) for line in chat] == [(0.3, 1, 1), (0.5, 1, 3), (0.7, 1, 1)]
    # A quartile beyond the axis is not drawn.
    assert len([line for line in upright if line.line.color == colours["math"]]) == 2


def test_domains_that_share_a_colour_have_different_lines() -> None:
    colours = {"chat": PALETTE[0], "code": PALETTE[1], "math": PALETTE[0]}
    data = counted({name: [1, 1] for name in colours})
    for figure in (
        histogram_figure(data, colours),
        ecdf_figure(data, colours),
        density_figure(smoothed(data), colours),
    ):
        assert [trace.line.dash for trace in figure.data] == ["solid", "solid", "dot"]


def test_domains_without_a_colour_are_not_drawn() -> None:
    data = counted({"chat": [1, 1], "math": [2, 2]})
    quartiles = pd.DataFrame({"domain": [], "q25": [], "median": [], "q75": []})
    for figure in (
        histogram_figure(data, {"math": PALETTE[0]}),
        ecdf_figure(data, {"math": PALETTE[0]}),
        density_figure(smoothed(data), {"math": PALETTE[0]}),
        ridgeline_figure(smoothed(data), quartiles, {"math": PALETTE[0]}),
    ):
        assert {trace.name for trace in figure.data if trace.name} == {"math"}


def test_a_brush_sideways_spans_every_plot() -> None:
    colours = domain_colours(["chat", "math"])
    data = counted({"chat": [3, 1], "math": [1, 1]})
    one = histogram_figure(data, colours, brushable=True, brush=(0.2, 0.4))
    two = histogram_figure(data, colours, one_above_another=True, brushable=True, brush=(0.4, 0.2))
    assert [(shape.x0, shape.x1, shape.yref) for shape in brushes(one)] == [(0.2, 0.4, "y domain")]
    assert [(shape.x0, shape.x1, shape.xref) for shape in brushes(two)] == [(0.2, 0.4, "x"), (0.2, 0.4, "x2")]
    assert (one.layout.dragmode, one.layout.selectdirection) == ("select", "h")


def test_a_chart_that_can_be_brushed_has_a_marker_so_that_the_mode_bar_offers_it() -> None:
    cells = pd.DataFrame({"domain": ["a"], "base_bin": [1], "reference_bin": [0], "rows": [4]})
    plane = LossPlane(2.0, 2, cells, 4, 0, 1.5, 0.5)
    for figure in (
        histogram_figure(counted({"chat": [3, 1]}), {"chat": PALETTE[0]}, brushable=True),
        loss_plane_figure(plane, brushable=True),
    ):
        assert any(getattr(trace, "mode", None) == "markers" for trace in figure.data)
        assert not brushes(figure)
    assert loss_plane_figure(plane).layout.dragmode is None


def test_a_box_and_a_lasso_are_drawn_where_they_are() -> None:
    colours = domain_colours(["chat"])
    corners = [(1.0, 1.0), (2.0, 1.5), (1.5, 0.25)]
    for figure in (
        loss_points_figure(points(), colours, brushable=True, box=((1.0, 2.0), (0.5, 1.5)), lasso=corners),
        length_points_figure(
            points(), "learnability", colours, brushable=True, box=((1.0, 2.0), (0.5, 1.5)), lasso=corners
        ),
    ):
        box, lasso = brushes(figure)
        assert (box.x0, box.x1, box.y0, box.y1) == (1.0, 2.0, 0.5, 1.5)
        assert lasso.path == "M1.0,1.0L2.0,1.5L1.5,0.25Z"
        assert figure.layout.selectdirection is None


def test_a_picture_of_a_chart_has_the_themes_background() -> None:
    figure = histogram_figure(counted({"chat": [3, 1]}), {"chat": PALETTE[0]})
    assert figure.layout.paper_bgcolor is None  # see-through pictures of a dark page are unreadable on paper
