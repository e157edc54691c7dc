"""The comparison's charts, read as the figure's data: what is drawn, in which colour, and that names are no markup."""

import json

import pandas as pd
import pytest

from core.data.scores import SCORES
from core.exploring.rank_changes import PAPER_SHARES
from core.exploring.run_comparison import ScorePlane
from ui.charts import domain_colours
from ui.charts.comparison_charts import POOLED, overlap_figure, score_plane_figure, score_points_figure

HOSTILE = "<img src=x onerror=alert(1)>"
SCORE = SCORES["learnability"]


def points() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row_number": [1, 2, 3],
            "domain": ["chat", HOSTILE, "chat"],
            "first_score": [0.2, 0.4, -9.0],
            "second_score": [0.3, 0.1, 0.5],
        }
    )


def overlap() -> pd.DataFrame:
    lines = [
        (True, "", 100, 0.01, 1, 0, 0.0, 0.01),
        (True, "", 100, 1.0, 100, 100, 1.0, 1.0),
        (False, "chat", 40, 0.01, 0, 0, None, 0.0),
        (False, "chat", 40, 1.0, 40, 40, 1.0, 1.0),
        (False, HOSTILE, 60, 0.01, 1, 1, 1.0, 1 / 60),
        (False, HOSTILE, 60, 1.0, 60, 60, 1.0, 1.0),
    ]
    columns = ["overall", "domain", "rows", "share", "top", "both", "overlap", "chance"]
    return pd.DataFrame(lines, columns=columns)


def test_a_point_lies_at_both_scores_and_carries_its_row_number() -> None:
    figure = score_points_figure(points(), (0.0, 1.0), SCORE, ("one", "two"), domain_colours(["chat", HOSTILE]))
    chat = next(trace for trace in figure.data if trace.name == "chat")
    assert list(zip(chat.x, chat.y, chat.customdata, strict=True)) == [(0.2, 0.3, 1), (-9.0, 0.5, 3)]
    assert chat.marker.color == domain_colours(["chat", HOSTILE])["chat"]
    assert "1 of 3 rows are outside the axes" in figure.layout.title.subtitle.text


def test_the_diagonal_is_where_both_scores_are_equal_on_equal_axes() -> None:
    cells = pd.DataFrame({"first_bin": [0, 1], "second_bin": [1, 1], "rows": [3, 10]})
    plane = ScorePlane(-0.5, 1.5, 2, cells, 20, 7)
    for figure in (
        score_plane_figure(plane, SCORE, ("one", "two")),
        score_points_figure(points(), (-0.5, 1.5), SCORE, ("one", "two"), {}),
    ):
        diagonal = figure.layout.shapes[0]
        assert (diagonal.x0, diagonal.x1) == (diagonal.y0, diagonal.y1) == tuple(figure.layout.xaxis.range)
        assert figure.layout.xaxis.range == figure.layout.yaxis.range
        assert figure.layout.xaxis.title.text == "Learnability (share of the base loss) in A: one"
        assert figure.layout.yaxis.title.text == "Learnability (share of the base loss) in B: two"


def test_the_density_puts_a_count_in_the_cell_of_both_scores() -> None:
    cells = pd.DataFrame({"first_bin": [0, 1], "second_bin": [1, 1], "rows": [3, 10]})
    figure = score_plane_figure(ScorePlane(-0.5, 1.5, 2, cells, 20, 7), SCORE, ("one", "two"))
    assert [list(line) for line in figure.data[0].customdata] == [[0, 0], [3, 10]]
    assert figure.data[0].x == pytest.approx((-0.5, 0.5, 1.5))
    assert figure.layout.title.subtitle.text == "7 of 20 rows are outside the axes and not drawn"


def test_the_overlap_is_drawn_by_domain_pooled_and_beside_chance() -> None:
    colours = domain_colours(["chat", HOSTILE])
    figure = overlap_figure(overlap(), colours)
    chance, *domains, pooled = figure.data
    assert (list(chance.x), list(chance.y)) == ([0.01, 1.0], [0.01, 1.0])
    assert [line.line.color for line in domains] == [colours[HOSTILE], colours["chat"]]
    assert (pooled.line.color, list(pooled.y)) == (POOLED, [0.0, 1.0])
    assert figure.layout.xaxis.type == "log"
    assert [shape.x0 for shape in figure.layout.shapes] == list(PAPER_SHARES)


def test_a_share_too_small_for_one_row_is_left_out_not_drawn_as_zero() -> None:
    chat = next(line for line in overlap_figure(overlap(), domain_colours(["chat"])).data if line.name == "chat")
    assert (list(chat.x), list(chat.y), list(chat.customdata[0])) == ([1.0], [1.0], [40, 40])


def test_domains_without_a_colour_are_not_drawn() -> None:
    assert len(overlap_figure(overlap(), {}).data) == 2


def test_markup_in_names_is_shown_as_text() -> None:
    colours = domain_colours([HOSTILE, "chat"])
    plane = ScorePlane(0.0, 1.0, 2, pd.DataFrame({"first_bin": [0], "second_bin": [1], "rows": [3]}), 3, 0)
    for figure in (
        score_points_figure(points(), (0.0, 1.0), SCORE, (HOSTILE, "two"), colours),
        score_plane_figure(plane, SCORE, ("one", HOSTILE)),
        overlap_figure(overlap(), colours),
    ):
        text = json.dumps(figure.to_dict(), default=str)
        assert "<img" not in text
        assert "&lt;img" in text
