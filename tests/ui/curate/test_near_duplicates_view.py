"""The view of near duplicates, run by Streamlit's own test harness against a real store and real workers."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from core.data.examples import Example, Message
from core.jobs.job import Job, all_jobs
from core.near_duplicates.jobs import create_near_duplicate_job
from core.store import Store
from core.store.near_duplicates import GROUPS_SCHEMA, save_near_duplicates
from core.workspace.supervisor import ingest_finished_jobs
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.waiting import wait_for

HOSTILE = "![x](http://example.invalid/x.png) <img src=x onerror=alert(1)> $x$ :red[x]"
SHIPS = "Forty ships lay in the harbour before noon, and each of them flew a blue flag at its mast"
ROWS = [
    ScoredRow("sea", 20.0, 8.0, 20, response=f"{SHIPS}."),
    ScoredRow("sea", 20.0, 4.0, 20, response=f"{SHIPS}!"),
    ScoredRow(HOSTILE, 20.0, 16.0, 20, prompt=HOSTILE, response=f"{SHIPS} and {HOSTILE}"),
    ScoredRow(HOSTILE, 20.0, 12.0, 20, prompt=HOSTILE, response=f"{SHIPS} or {HOSTILE}"),
    ScoredRow("sea", 20.0, 10.0, 20, response="An otter sleeps on its back."),
]


def page() -> None:
    from core.data.errors import UserError
    from ui.curate.near_duplicates_view import show_near_duplicates
    from ui.kit.widgets import show_error
    from ui.shell.session import open_session

    try:
        show_near_duplicates(open_session(), "first")
    except UserError as error:
        show_error(error)


@pytest.fixture
def view(page_workspace: Path) -> Callable[..., AppTest]:
    """Opens the view on a scored run, with the given query parameters."""
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, ROWS)

    def opened(**parameters: str) -> AppTest:
        app = AppTest.from_function(page, default_timeout=60)
        for name, value in parameters.items():
            app.query_params[name] = value
        return app.run()

    return opened


def save_groups(workspace: Path, threshold: float = 0.8, example_count: int = 5) -> None:
    """Rows 1 and 2 as group 1, rows 3 and 4 as group 2."""
    rows = [
        {"example_id": str(conversation(row).example_id), "group_number": 1 + place // 2}
        for place, row in enumerate(ROWS[:4])
    ]
    with Store.open(workspace, "a test") as store:
        save_near_duplicates(store, "data", threshold, example_count, pa.Table.from_pylist(rows, GROUPS_SCHEMA))


def conversation(row: ScoredRow) -> Example:
    return Example((Message("user", row.prompt), Message("assistant", row.response)))


def healthy(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error
    return app


def said(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.text, app.info, app.warning)
    return "\n".join(element.value for elements in kinds for element in elements)


def figures(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def only_job(workspace: Path) -> Job:
    (job,) = all_jobs(workspace)
    return job


def test_before_the_first_search_the_view_says_what_it_is_for(view: Callable[..., AppTest]) -> None:
    app = healthy(view())
    assert "No search at this threshold yet" in app.info[0].value
    assert app.slider(key="near_threshold").value == 0.8
    assert app.query_params["near"] == "0.8"


def test_the_button_starts_a_search_whose_groups_are_shown(view: Callable[..., AppTest], page_workspace: Path) -> None:
    app = view()
    app.button(key="near_search").click().run()
    healthy(app)
    wait_for(lambda: only_job(page_workspace).is_settled, "the end of the search")
    healthy(app.run())
    assert figures(app) == {
        "Groups": "2",
        "Rows in groups": "4",
        "Largest group": "2",
        "Rows removed if one per group is kept": "2",
    }
    assert app.dataframe[0].value["rows"].tolist() == [2, 2]


def test_a_search_under_way_shows_how_far_it_is(view: Callable[..., AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        create_near_duplicate_job(store, "data", 0.8)
    app = healthy(view())
    assert "Near-duplicate search" in said(app)
    assert "The worker stopped before it finished. Resume restarts the search." in said(app)
    app.button(key=f"resume_{only_job(page_workspace).job_id}").click().run()
    healthy(app)
    wait_for(lambda: only_job(page_workspace).is_settled, "the end of the search")
    assert figures(healthy(app.run()))["Groups"] == "2"


def test_an_interrupted_search_can_be_given_up(view: Callable[..., AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        create_near_duplicate_job(store, "data", 0.8)
    app = view()
    app.button(key=f"discard_{only_job(page_workspace).job_id}").click().run()
    assert "No search at this threshold yet" in healthy(app).info[0].value
    assert only_job(page_workspace).state == "cancelled"


def test_a_search_that_failed_says_why_once(view: Callable[..., AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        job = create_near_duplicate_job(store, "data", 0.8)
        job.finish({"state": "failed", "message": "The disk is *full*."})
        ingest_finished_jobs(store)
    app = view()
    app.session_state["kept_near_job"] = job.job_id
    app.run()
    assert app.error[0].value == r"The disk is \*full\*\."
    assert not app.run().error


def test_a_search_of_fewer_rows_is_called_stale_and_can_be_done_again(
    view: Callable[..., AppTest], page_workspace: Path
) -> None:
    save_groups(page_workspace, example_count=4)
    app = healthy(view())
    assert "The dataset has changed since this search of 4 unique examples." in app.warning[0].value
    app.button(key="near_search").click().run()
    wait_for(lambda: only_job(page_workspace).is_settled, "the end of the search")
    healthy(app.run())
    assert not app.warning


def test_nothing_alike_is_said_with_what_to_try(view: Callable[..., AppTest], page_workspace: Path) -> None:
    with Store.open(page_workspace, "a test") as store:
        save_near_duplicates(store, "data", 0.95, 5, GROUPS_SCHEMA.empty_table())
    app = healthy(view())
    assert app.slider(key="near_threshold").value == 0.95
    assert "No two of the 5 unique conversations reach this similarity" in app.info[0].value


def test_another_threshold_shows_its_own_search_and_names_those_there_are(
    view: Callable[..., AppTest], page_workspace: Path
) -> None:
    save_groups(page_workspace)
    app = view(group="2")
    app.slider(key="near_threshold").set_value(0.7).run()
    healthy(app)
    assert "Existing searches: 0.80 (2 groups)" in said(app)
    assert app.query_params["near"] == "0.7"


def test_a_link_opens_a_group_with_the_best_row_at_the_left_and_the_edit_marked(
    view: Callable[..., AppTest], page_workspace: Path
) -> None:
    save_groups(page_workspace)
    app = healthy(view(near="0.8", group="1"))
    titles = [element.value for element in app.markdown if element.value.startswith("**")]
    assert titles[0] == "**Would be selected**"
    assert titles[1].startswith("**Similarity 0.")
    assert [text.value.split(",")[0] for text in app.text if text.value.startswith("Row ")] == ["Row 2", "Row 1"]
    assert any("mast</span><del>!</del><ins>.</ins>" in element.proto.body for element in app.get("html"))


def test_groups_of_another_threshold_are_not_opened_by_the_old_number(
    view: Callable[..., AppTest], page_workspace: Path
) -> None:
    save_groups(page_workspace)
    save_groups(page_workspace, 0.7)
    app = view(near="0.8", group="2")
    assert "Group 2" in said(app)
    app.slider(key="near_threshold").set_value(0.7).run()
    healthy(app)
    assert app.number_input(key="group").value is None
    assert "Group 2" not in said(app)


def test_a_group_that_is_not_there_is_one_sentence(view: Callable[..., AppTest], page_workspace: Path) -> None:
    save_groups(page_workspace)
    app = view(group="9")
    assert not app.exception
    assert "There is no group 9" in app.error[0].value.replace("\\", "")


@pytest.mark.parametrize("asked", ["much", "0.2", "7", "nan"])
def test_a_threshold_in_the_address_that_is_none_is_passed_over(view: Callable[..., AppTest], asked: str) -> None:
    assert healthy(view(near=asked)).slider(key="near_threshold").value == 0.8


def test_hostile_text_is_shown_as_it_is(view: Callable[..., AppTest], page_workspace: Path) -> None:
    save_groups(page_workspace)
    app = healthy(view(group="2"))
    for elements in (app.markdown, app.caption, app.info, app.warning):
        assert not [element.value for element in elements if "![x](" in element.value]
    shown = [element.proto.body for element in app.get("html")]
    assert any("&lt;img src=x" in body for body in shown)
    assert not any("<img" in body for body in shown)


def test_a_large_group_is_paged_beside_its_best_row(page_workspace: Path) -> None:
    examples = [Example((Message("user", "Count."), Message("assistant", f"{SHIPS} {n}"))) for n in range(12)]
    with Store.open(page_workspace, "a test") as store:
        add_scored_run(store, [ScoredRow("sea", 20.0, float(n), 20, "Count.", f"{SHIPS} {n}") for n in range(12)])
        rows = [{"example_id": str(example.example_id), "group_number": 1} for example in examples]
        save_near_duplicates(store, "data", 0.8, 12, pa.Table.from_pylist(rows, GROUPS_SCHEMA))
    app = AppTest.from_function(page, default_timeout=60)
    app.query_params["group"] = "1"
    healthy(app.run())
    assert "12 unique conversations" in said(app)
    shown = [text.value.split(",")[0] for text in app.text if text.value.startswith("Row ")]
    assert shown == ["Row 1", "Row 2", "Row 3", "Row 4", "Row 5"]
