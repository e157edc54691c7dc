"""The map's chart: what each colouring draws, that texts stay texts, and that unselected rows are faint."""

import pandas as pd
import pytest

from core.exploring.map_plane import MapPlane
from ui.charts.map_chart import BY_DOMAIN, BY_SCORE, BY_SELECTION, map_figure

COLOURS = {"chat": "#0072B2"}
LABELS = pd.DataFrame({"x": [1.0], "y": [0.5], "label": ["<b>ships"]})


def plane(cells: bool = False) -> MapPlane:
    points = pd.DataFrame(
        {
            "row_number": [1, 2, 3],
            "domain": ["chat", "chat", "<i>x</i>"],
            "x": [0.0, 1.0, 2.0],
            "y": [0.0, 1.0, 0.5],
            "score": [0.1, None, 0.9],
            "text": ["one", "<img src=x>", "three"],
            "is_kept": [True, False, True],
        }
    )
    counted = pd.DataFrame({"x_bin": [0, 1] if cells else [], "y_bin": [0, 0] if cells else []})
    return MapPlane(points, counted.assign(rows=5000), [0.0, 1.0, 2.0], [0.0, 1.0], 10_000 if cells else 3, 0)


@pytest.mark.parametrize("colour_by", [BY_DOMAIN, BY_SCORE, BY_SELECTION])
def test_every_row_is_a_point_once_whatever_colours_it_and_its_text_is_escaped(colour_by: str) -> None:
    figure = map_figure(plane(), COLOURS, colour_by, "Learnability", LABELS)
    drawn = [trace for trace in figure.data if trace.customdata is not None]
    assert sorted(number for trace in drawn for number in trace.customdata) == [1, 2, 3]
    texts = " ".join(text for trace in drawn for text in trace.text)
    assert "&lt;img src=x&gt;" in texts
    assert "&lt;i&gt;x" in texts
    assert [note.text for note in figure.layout.annotations] == ["&lt;b&gt;ships"]
    assert "<img" not in str(figure.to_json())


def test_rows_that_are_not_selected_are_faint_and_other_domains_share_a_colour() -> None:
    chat, others = None, None
    for trace in map_figure(plane(), COLOURS, BY_DOMAIN, "Learnability", LABELS).data:
        if trace.customdata is not None:
            chat, others = (trace, others) if trace.legendgroup == "chat" else (chat, trace)
    assert chat is not None
    assert others is not None
    assert chat.marker.opacity[0] > chat.marker.opacity[1]
    assert others.name == "&lt;i&gt;x&lt;/i&gt;"


def test_over_shades_of_all_rows_the_chart_says_how_many_are_points() -> None:
    figure = map_figure(plane(cells=True), COLOURS, BY_SELECTION, "Learnability", LABELS)
    assert figure.layout.title.subtitle.text == "3 of 10,000 rows are drawn; shades count all"
    assert figure.data[0].type == "heatmap"
