"""The distribution view, run by Streamlit's own test harness against a real store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run

HOSTILE = "<img src=x onerror=alert(1)>"


def page() -> None:
    import streamlit as st

    from core.data.scores import SCORES
    from core.exploring.distributions import domain_counts
    from ui.charts import domain_colours
    from ui.curate.distribution_view import show_distribution
    from ui.curate.linked_charts import LinkedView
    from ui.kit.filter_state import chosen_filter
    from ui.shell.session import open_session

    store = open_session().store
    table = str(store.run("first")["table"])
    row_filter = chosen_filter(store)
    counts = domain_counts(store, table, row_filter)
    colours = domain_colours(counts["domain"].tolist())
    score = SCORES[st.session_state.get("score", "learnability")]
    show_distribution(LinkedView(store, table, row_filter, score, colours, int(counts["rows"].sum())))


@pytest.fixture
def view(page_workspace: Path) -> Callable[..., AppTest]:
    """Opens the view on a scored run of 60 rows, with the given score and query parameters."""
    random = np.random.default_rng(5)
    rows = [
        ScoredRow(("math", HOSTILE)[number % 2], float(base), float(base * share), 10)
        for number, (base, share) in enumerate(
            zip(random.uniform(5, 50, 60), random.uniform(0.3, 0.9, 60), strict=True)
        )
    ]
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, rows)

    def opened(score: str = "learnability", **parameters: str) -> AppTest:
        app = AppTest.from_function(page, default_timeout=60)
        app.session_state["score"] = score
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return opened


def figure(app: AppTest) -> dict[str, Any]:
    assert not app.exception
    (chart,) = app.get("plotly_chart")
    return dict(json.loads(chart.proto.spec))


def numbers(app: AppTest) -> Any:
    app.session_state["distribution_numbers"] = True
    return app.run().dataframe[0].value


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("Histogram", "Learnability by domain"),
        ("Density", "Learnability by domain: density"),
        ("ECDF", "Learnability by domain: share of rows below a value"),
        ("Ridgeline", "Learnability by domain: ridgelines"),
    ],
)
def test_a_link_opens_each_kind_of_chart_with_its_numbers(view: Callable[..., AppTest], kind: str, title: str) -> None:
    app = view(kind=kind)
    assert figure(app)["layout"]["title"]["text"] == title
    assert "<img" not in json.dumps(figure(app))
    assert set(numbers(app)["Domain"]) == {"math", HOSTILE}


def test_an_unknown_kind_in_a_link_opens_the_histogram(view: Callable[..., AppTest]) -> None:
    assert figure(view(kind="Pie"))["layout"]["title"]["text"] == "Learnability by domain"


def test_the_numbers_of_the_histogram_count_every_row(view: Callable[..., AppTest]) -> None:
    found = numbers(view())
    assert found["Rows"].sum() == 60
    assert found.groupby("Domain")["Share up to bin end"].max().tolist() == [1.0, 1.0]


def test_a_log_axis_is_offered_only_where_the_score_is_positive(view: Callable[..., AppTest]) -> None:
    assert [toggle.label for toggle in view().toggle] == ["Log counts"]
    app = view("base_loss", log_values="true", log_counts="true")
    assert [toggle.label for toggle in app.toggle] == ["Log values", "Log counts"]
    assert figure(app)["layout"]["xaxis"]["type"] == "log"
    assert figure(app)["layout"]["yaxis"]["type"] == "log"
    assert figure(view("base_loss", kind="ECDF", log_values="true"))["layout"]["xaxis"]["type"] == "log"
    # A link to a log axis of a score that may be negative opens a plain one.
    assert figure(view("learnability", log_values="true"))["layout"]["xaxis"].get("type") != "log"


def test_domains_stand_one_above_another_on_demand(view: Callable[..., AppTest]) -> None:
    app = view()
    app.segmented_control(key="layout").set_value("Stacked").run()
    assert {trace.get("yaxis", "y") for trace in figure(app)["data"] if trace.get("name")} == {"y", "y2"}


def test_every_control_says_what_it_does(view: Callable[..., AppTest]) -> None:
    app = view("base_loss")
    controls = [*app.segmented_control, *app.toggle, *app.slider]
    assert len(controls) == 5
    assert all(control.help for control in controls)


def test_the_brush_narrows_the_summary_and_not_the_chart_it_is_drawn_on(view: Callable[..., AppTest]) -> None:
    link = json.dumps({"ranges": [["learnability", 0.2, 0.4]]})
    app = view(filter=link)
    (brush,) = figure(app)["layout"]["shapes"]
    assert (brush["x0"], brush["x1"]) == (0.2, 0.4)
    (summary,) = [table.value for table in app.dataframe]
    assert 0 < summary.iloc[0]["Rows"] < 60
    assert numbers(app)["Rows"].sum() == 60


def test_an_open_end_of_the_range_is_drawn_to_the_charts_end(view: Callable[..., AppTest]) -> None:
    app = view(filter=json.dumps({"ranges": [["learnability", 0.3, None]]}))
    (brush,) = figure(app)["layout"]["shapes"]
    assert brush["x0"] == 0.3
    assert brush["x1"] == figure(app)["layout"]["xaxis"]["range"][1]


def test_a_filter_that_no_row_passes_says_what_to_do(view: Callable[..., AppTest]) -> None:
    app = view(filter=json.dumps({"domains": ["no such domain"]}))
    assert [info.value for info in app.info] == ["No row passes these filters. Remove a filter above."]
