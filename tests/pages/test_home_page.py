"""The Home page, run by Streamlit's own test harness against a real store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.jobs.job import create_job
from core.selection import Selection, save_selection
from core.store import Store
from core.workspace import demo
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.pages.test_data_page import button, healthy, text_of

PAGE = Path(__file__).parents[2] / "pages" / "home_page.py"
HOSTILE = "![x](http://example.invalid/x.png) <b>$x$</b> :red[a]"
ROWS = [ScoredRow(domain, 10.0, 9.0 - number) for number in range(6) for domain in ("chat", "math")]


@pytest.fixture
def home(page_workspace: Path) -> Callable[[], AppTest]:
    return lambda: healthy(AppTest.from_file(str(PAGE), default_timeout=60).run())


def test_an_empty_workspace_shows_what_the_tool_does_and_where_to_begin(home: Callable[[], AppTest]) -> None:
    page = home()
    assert "learn from" in page.subheader[0].value
    assert "976 unique rows of the demo's 1,000" in text_of(page)
    assert len(page.get("plotly_chart")) == 1
    assert [item.label for item in page.button] == ["Open the demo", "Import my data", "Quick look at a sample"]


def test_the_demo_opens_at_once(home: Callable[[], AppTest]) -> None:
    page = healthy(button(home(), "Open the demo").click().run())
    assert "**1,000** of 1,000 rows scored" in text_of(page)
    assert f"Selection {demo.SELECTION}." in text_of(page)
    assert "not distinguishable from random" in text_of(page)
    assert "Next: Export the selection" in text_of(page)


def test_each_run_says_what_it_lacks(home: Callable[[], AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, ROWS, run="first")
    page = home()
    assert "Next: Choose what to keep" in text_of(page)
    assert "**12** of 12 rows scored, median learnability of these **0.350**" in text_of(page)


def test_a_selection_without_a_trial_asks_for_one(home: Callable[[], AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, ROWS, run="first")
        save_selection(store, "half", Selection("first"))
    page = home()
    assert "Selection half. No trial has compared this selection" in text_of(page)
    assert "Next: Plan a trial" in text_of(page)


def test_a_large_dataset_that_is_not_scored_offers_a_sample(home: Callable[[], AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        demo.import_demo(store)
    page = home()
    assert "**demo**: 1,000 rows in 3 domains" in text_of(page)
    page = healthy(button(page, "Quick look at 500 rows").click().run())
    assert "**demo-sample**: 500 rows in 3 domains" in text_of(page)
    assert page.session_state["kept_dataset"] == "demo-sample"


def test_names_from_data_never_reach_markdown(home: Callable[[], AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, ROWS, run=HOSTILE)
        save_selection(store, HOSTILE, Selection(HOSTILE))
    page = home()
    assert HOSTILE in text_of(page)
    for elements in (page.markdown, page.caption, page.subheader):
        assert not [element.value for element in elements if "![x](" in element.value or "<b>" in element.value]


def test_the_line_names_the_job_at_work_and_counts_the_others(
    home: Callable[[], AppTest], page_workspace: Path
) -> None:
    request = {"kind": "score", "dataset": "numbers", "base": {"label": "b"}, "parts": []}
    for name in ("one", "two"):
        create_job(page_workspace, {**request, "run": name}, {})
    (progress,) = home().get("progress")
    said = progress.proto.text.replace("\\", "")
    assert said in {f"Interrupted (and 1 more): Scoring run {name} on dataset numbers" for name in ("one", "two")}
