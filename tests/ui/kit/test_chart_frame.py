"""The frame of a chart, run by Streamlit's own test harness: its numbers, its CSV, and the form of its picture."""

import io
import json
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from ui.kit.chart_frame import _as_csv


def page(brush: tuple[float, float] | None, selectable: bool) -> None:
    import pandas as pd
    import plotly.graph_objects as go

    from ui.charts import apply_layout, brush_sideways
    from ui.kit.chart_frame import show_chart

    figure = go.Figure(go.Scatter(x=[0, 1, 2], y=[3, 1, 2], mode="lines"))
    apply_layout(figure, "Learnability in each domain", "", 300)
    if selectable:
        brush_sideways(figure, brush)
    numbers = pd.DataFrame(
        {"domain": ["=HYPERLINK(1) ![x](http://example.invalid/x.png)"], "bin_low": [0.12345], "rows": [1234],
         "share_low": [0.25], "base_loss": [2.5]}
    )  # fmt: skip
    show_chart(figure, numbers, "chart", "learnability", selectable=selectable, note="What it shows.")


def opened(brush: tuple[float, float] | None = None, selectable: bool = True) -> AppTest:
    return AppTest.from_function(page, default_timeout=30, kwargs={"brush": brush, "selectable": selectable}).run()


def chart(app: AppTest) -> Any:
    assert not app.exception
    return app.get("plotly_chart")[0].proto


def with_numbers(app: AppTest) -> AppTest:
    app.session_state["chart_numbers"] = True
    return app.run()


def test_a_closed_table_sends_nothing_and_an_open_one_its_numbers_in_words() -> None:
    app = opened()
    assert not app.dataframe
    assert [caption.value for caption in app.caption] == ["What it shows."]
    with_numbers(app)
    table = app.dataframe[0]
    assert list(table.value.columns) == ["Domain", "From", "Rows", "Share below bin", "Base loss"]
    formats = {name: column.get("type_config", {}).get("format") for name, column in columns(table).items()}
    assert formats == {
        "From": "%.4g",
        "Rows": "localized",
        "Share below bin": "percent",
        "Base loss": "%.4g",
        "_index": None,
    }
    assert not [name for name, column in columns(table).items() if column.get("hidden") and name != "_index"]


def columns(table: Any) -> dict[str, Any]:
    return dict(json.loads(table.proto.columns))


def test_the_camera_saves_the_chosen_form_under_the_charts_name() -> None:
    app = with_numbers(opened())
    saved = json.loads(chart(app).config)["toImageButtonOptions"]
    assert (saved["format"], saved["filename"], saved["scale"]) == ("png", "learnability", 2)
    app.segmented_control(key="chart_picture").set_value("SVG").run()
    saved = json.loads(chart(app).config)["toImageButtonOptions"]
    assert (saved["format"], saved["scale"]) == ("svg", 1)
    app.session_state["chart_numbers"] = False
    assert json.loads(chart(app.run()).config)["toImageButtonOptions"]["format"] == "svg"


def test_a_chart_is_named_for_who_cannot_see_it() -> None:
    assert chart(opened()).alt == "Chart: Learnability in each domain. Its data are in the table below."


def test_a_sideways_chart_offers_boxes_only_and_a_chart_that_is_not_selectable_nothing() -> None:
    assert len(chart(opened()).selection_mode) == 1
    assert not chart(opened(selectable=False)).selection_mode


def test_a_brush_that_a_link_brought_is_drawn() -> None:
    shapes = json.loads(chart(opened(brush=(0.5, 1.5))).spec)["layout"]["shapes"]
    assert [(shape["name"], shape["x0"], shape["x1"]) for shape in shapes] == [("brush", 0.5, 1.5)]
    assert "shapes" not in json.loads(chart(opened()).spec)["layout"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "＝", "'="])
def test_text_that_a_spreadsheet_would_run_is_marked_as_text(start: str) -> None:
    numbers = pd.DataFrame({"domain": [f"{start}1+1", "plain"], "low": [-1.5, 2.0]})
    lines = _as_csv(numbers).decode().splitlines()
    assert lines == ["domain,low", f"'{start}1+1,-1.5", "plain,2.0"]


def test_the_csv_holds_every_number_as_it_is() -> None:
    numbers = pd.DataFrame({"domain": ["chat"], "share_low": [1 / 3]})
    assert pd.read_csv(io.BytesIO(_as_csv(numbers)))["share_low"][0] == 1 / 3
