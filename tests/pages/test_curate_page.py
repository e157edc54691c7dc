"""The Curate page: its filters, views and rows, run by Streamlit's own test harness against a real store."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.selection import Amount, Selection, save_selection
from core.store import Store
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.pages.closed_parts import with_open_parts
from ui.shell.session import close_sessions, open_session

PAGE = Path(__file__).parents[2] / "pages" / "curate_page.py"
HOSTILE = "![x](http://example.invalid/x.png)"
ROWS = [
    *(ScoredRow("chat", 20.0, 20.0 - number, 10 + number, "Tell me", f"chat {number}") for number in range(12)),
    *(ScoredRow("math", 10.0, 10.0 - number / 2, 5, "Add up", f"math {number}") for number in range(8)),
    ScoredRow("math", 10.0, None, 5, "Add up", "unscored"),
    ScoredRow(HOSTILE, 10.0, 12.0, 5, HOSTILE, HOSTILE, truncated=True),
]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace that the page opens as its own; given back at the end."""
    monkeypatch.setenv("LOBASS_WORKSPACE", str(tmp_path))
    yield tmp_path
    close_sessions()


@pytest.fixture
def explore(workspace: Path) -> Callable[..., AppTest]:
    """Opens the page on a scored run, with the given query parameters."""
    with Store.open(workspace, "a test") as store:
        add_scored_run(store, ROWS, run="first")

    def opened(**parameters: str) -> AppTest:
        page = with_open_parts(AppTest.from_file(str(PAGE), default_timeout=30))
        for name, value in parameters.items():
            page.query_params[name] = value
        return page.run()

    return opened


def text_of(page: AppTest) -> str:
    """Everything the page says in words."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.error)
    return "\n".join(element.value for elements in kinds for element in elements)


def cut_chart(page: AppTest) -> Any:
    """What the chart of the cut-offs gets to draw."""
    return json.loads(page.get("bidi_component")[0].proto.json)


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def test_an_empty_workspace_says_what_to_do_next(workspace: Path) -> None:
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "Import a dataset first" in page.info[0].value


def test_a_dataset_without_a_run_points_to_scoring(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        store.add_source("data", "data.jsonl", "jsonl", "x", {}, [])
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "No dataset is scored yet" in page.info[0].value


def test_the_page_opens_on_linked_charts_and_the_rows(explore: Callable[..., AppTest]) -> None:
    page = healthy(explore())
    assert "**22** of 22 rows" in text_of(page)
    titles = [json.loads(chart.proto.spec)["layout"]["title"]["text"] for chart in page.get("plotly_chart")]
    assert titles == ["Base loss against reference loss"]
    assert [domain["name"] for domain in cut_chart(page)["domains"]] == [HOSTILE, "chat", "math"]
    assert page.dataframe[0].value["learnability"].is_monotonic_decreasing
    assert page.query_params["run"] == "first"


def test_the_summary_labels_both_averages_for_every_domain(explore: Callable[..., AppTest]) -> None:
    page = healthy(explore(view="Distribution"))
    summary = next(table.value for table in page.dataframe if "Row-weighted mean" in table.value)
    assert summary["Domain"].tolist() == ["All domains", HOSTILE, "chat", "math"]
    assert summary["Rows"].tolist() == [22, 1, 12, 9]
    assert summary["No score"].tolist() == [1, 0, 0, 1]


def test_filters_change_every_number_and_the_readout(explore: Callable[..., AppTest]) -> None:
    page = explore(view="Distribution")
    page.text_input(key="filter_text").set_value("TELL ME").run()
    page.number_input(key="filter_low").set_value(0.5).run()
    healthy(page)
    assert "**2** of 22 rows" in text_of(page)
    assert "chat 2 of 12" in text_of(page)
    summary = next(table.value for table in page.dataframe if "Row-weighted mean" in table.value)
    assert summary["Rows"].tolist() == [2, 2]


def test_a_filter_is_in_the_address_and_a_link_opens_with_it(explore: Callable[..., AppTest]) -> None:
    page = explore()
    page.multiselect(key="filter_domains").set_value(["math"]).run()
    page.number_input(key="filter_low").set_value(0.1).run()
    link = page.query_params["filter"]
    assert json.loads(link if isinstance(link, str) else link[0]) == {
        "domains": ["math"],
        "ranges": [["learnability", 0.1, None]],
    }
    again = healthy(explore(filter=link if isinstance(link, str) else link[0]))
    assert again.multiselect(key="filter_domains").value == ["math"]
    assert again.number_input(key="filter_low").value == 0.1
    assert "**6** of 22 rows" in text_of(again)


def test_a_lasso_in_the_address_filters_rows(explore: Callable[..., AppTest]) -> None:
    # A base loss of 2.0 have eight rows of math with both losses, the shortest of chat, and the hostile one.
    area = {"regions": [["base_loss", "reference_loss", [[1.9, 0.0], [2.1, 0.0], [2.1, 5.0], [1.9, 5.0]]]]}
    page = healthy(explore(filter=json.dumps(area)))
    assert "**10** of 22 rows" in text_of(page)
    assert "Lasso over base loss and reference loss" in [button.label for button in page.button]


def test_chips_take_one_filter_away_or_all(explore: Callable[..., AppTest]) -> None:
    page = explore(filter='{"domains":["math"],"ranges":[["learnability",0.1,null]]}')
    page.button(key="chip_1").click().run()
    assert "**9** of 22 rows" in text_of(page)
    page.multiselect(key="filter_domains").set_value(["math", "chat"]).run()
    page.button(key="clear_filters").click().run()
    assert "**22** of 22 rows" in text_of(healthy(page))
    assert "filter" not in page.query_params


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{", "The filter in this URL is not valid JSON"),
        ("[1]", "not a JSON object"),
        ('{"ranges":[["beauty",0,1]]}', "Unknown column 'beauty'"),
        ('{"search":{"query":"(","kind":"regex"}}', "missing )"),
    ],
)
def test_a_filter_that_cannot_be_read_is_said_and_left_out(
    explore: Callable[..., AppTest], given: str, sentence: str
) -> None:
    page = explore(filter=given)
    assert not page.exception
    assert sentence in page.error[0].value.replace("\\", "")
    assert "**22** of 22 rows" in text_of(page)


def test_filters_that_no_row_passes_say_so(explore: Callable[..., AppTest]) -> None:
    page = explore()
    healthy(page.text_input(key="filter_text").set_value("nothing like it").run())
    assert any("No row passes these filters" in info.value for info in page.info)


@pytest.mark.parametrize("view", ["Overview", "Distribution", "Length", "Trust", "Near-duplicates"])
@pytest.mark.parametrize("score", ["learnability", "base_perplexity"])
def test_every_section_opens_from_a_link(explore: Callable[..., AppTest], view: str, score: str) -> None:
    page = healthy(explore(run="first", score=score, view=view))
    assert next(tab for tab in page.tabs if tab.label == view).children
    assert page.selectbox(key="score_picker").value == score
    assert page.query_params["score"] == score


def test_a_link_with_a_tabs_earlier_label_opens_that_tab(explore: Callable[..., AppTest]) -> None:
    page = healthy(explore(run="first", view="Near duplicates"))
    assert next(tab for tab in page.tabs if tab.label == "Near-duplicates").children


def test_the_trust_panel_says_how_many_flagged_rows_a_selection_keeps(
    explore: Callable[..., AppTest], workspace: Path
) -> None:
    page = explore(view="Trust")
    assert "Save a selection of this run" in text_of(page)
    save_selection(open_session().store, "everything", Selection("first", amount=Amount("ratio", 1.0)))
    page = healthy(page.run())
    flags = next(table.value for table in page.dataframe if "Selected rows" in table.value)
    assert flags.set_index("Flag").loc["truncated", ["Rows", "Selected rows"]].tolist() == [1, 1]
    assert "The reference's training data is not known" in text_of(page)


def test_an_open_row_says_why_it_is_in_or_out(explore: Callable[..., AppTest]) -> None:
    explore()
    save_selection(open_session().store, "best", Selection("first", amount=Amount("rows", 4)))
    page = healthy(explore(run="first", example="1"))
    assert "Not selected (below the cut): rank 12 of 12 eligible rows in chat" in text_of(page).replace("\\", "")
    page.session_state["row_in_saved"] = True
    page = healthy(page.run())
    assert re.search(
        r"best.*Not selected .below the cut.: rank 12 of 12 eligible rows in chat", text_of(page).replace("\\", "")
    )


def test_the_guide_is_in_the_line_under_the_navigation(explore: Callable[..., AppTest]) -> None:
    page = explore()
    assert "Learnability is the share of a row's base loss" in text_of(page)
    assert [heading.value for heading in page.header] == ["Curate"]


def test_a_link_to_an_example_opens_it_cold(explore: Callable[..., AppTest]) -> None:
    page = healthy(explore(run="first", example="22"))
    assert HOSTILE in [block.value for block in page.code]
    assert f"Row 22, domain {HOSTILE}" in text_of(page)
    assert "the response was truncated at the maximum length" in text_of(page)


def test_text_from_data_never_reaches_markdown(explore: Callable[..., AppTest]) -> None:
    page = healthy(explore(run=HOSTILE, example="22"))
    for elements in (page.markdown, page.caption, page.warning, page.info, page.subheader):
        assert not [element.value for element in elements if "![x](" in element.value]


def test_a_row_that_is_not_there_is_one_sentence(explore: Callable[..., AppTest]) -> None:
    page = explore(run="first", example="999")
    assert not page.exception
    assert page.error[0].value.startswith("This run has no row 999")


def test_a_run_that_is_not_there_is_said_and_another_shown(explore: Callable[..., AppTest]) -> None:
    page = healthy(explore(run="gone"))
    assert "There is no run named 'gone'" in page.warning[0].value.replace("\\", "")
    assert page.selectbox(key="run_picker").value == "first"


def test_examples_are_paged_in_order(explore: Callable[..., AppTest]) -> None:
    page = healthy(explore(run="first"))
    table = page.dataframe[0].value
    assert len(table) == 10
    assert table["learnability"].is_monotonic_decreasing
    assert "Rows 1 to 10 of 22" in text_of(page)


def test_of_many_domains_the_largest_are_drawn_and_all_are_in_the_tables(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        add_scored_run(store, [ScoredRow(f"domain {number}", 9.0, 4.0) for number in range(20)])
    page = AppTest.from_file(str(PAGE), default_timeout=30)
    page.query_params["view"] = "Distribution"
    healthy(page.run())
    assert "Charts show the 8 largest of 20 domains" in text_of(page)
    assert len(next(table.value for table in page.dataframe if "Row-weighted mean" in table.value)) == 21


# The rows, and the one beside them


def shown(page: AppTest, part: str) -> AppTest:
    return healthy(page.segmented_control(key="shown").set_value(part).run())


def rows_of(page: AppTest) -> list[int]:
    """Row numbers of the table."""
    tables = [table.value for table in page.dataframe if "row_number" in table.value]
    return [int(number) for table in tables for number in table["row_number"]]


def test_the_rows_are_those_of_the_chosen_outcome(explore: Callable[..., AppTest]) -> None:
    page = shown(explore(run="first"), "Kept")
    assert rows_of(page) == [12, 20]  # 6 % of chat's 12 rows are one, and of math's 9 too
    page = shown(page, "Dropped")
    assert "Rows 1 to 10 of 20." in text_of(page)
    assert set(next(table.value for table in page.dataframe if "reason" in table.value)["reason"]) == {"below the cut"}
    page = shown(page, "Flagged")
    assert all(next(table.value for table in page.dataframe if "row_number" in table.value)["flags"])
    assert "No hand picks yet" in text_of(shown(page, "Picks"))


def test_the_open_row_is_walked_and_picked_beside_the_list(explore: Callable[..., AppTest]) -> None:
    page = explore(run="first")
    first, second = rows_of(page)[:2]
    page = healthy(page.button(key="row_next").click().run())
    assert page.session_state["example"] == first
    page = healthy(page.button(key="row_next").click().run())
    assert page.session_state["example"] == second
    assert page.button(key="row_next").proto.shortcut.lower() == "j"
    page = healthy(page.button(key=f"row_keep_{second}").click().run())
    assert "Selected by hand: 1 of these rows" in text_of(page)
    assert "Selected by hand." in text_of(page).replace("\\", "")
    page = healthy(page.button(key=f"row_drop_{second}").click().run())
    assert "Selected by hand" not in text_of(page)
    assert "left out by hand" in text_of(page)
    page = healthy(page.button(key="row_previous").click().run())
    assert page.session_state["example"] == first


def test_all_rows_of_a_filter_are_dropped_at_once_and_brought_back(explore: Callable[..., AppTest]) -> None:
    page = explore(run="first", filter='{"domains":["math"]}')
    page.session_state["bulk"] = True
    page = healthy(page.run())
    page = healthy(page.button(key="bulk_drop").click().run())
    assert page.button(key="bulk_drop").label == "Drop all 9"
    assert rows_of(shown(page, "Kept")) == []
    page = shown(page, "Dropped")
    assert set(next(table.value for table in page.dataframe if "reason" in table.value)["reason"]) == {
        "left out by hand"
    }
    page = healthy(page.button(key="picks_undo_bulk").click().run())
    assert "No hand picks yet" in text_of(shown(page, "Picks"))


def test_more_rows_than_can_be_picked_at_once_are_refused(
    explore: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.exploring.browsing.MOST_AT_ONCE", 20)
    monkeypatch.setattr("ui.curate.rows_view.MOST_AT_ONCE", 20)
    page = explore(run="first")
    page.session_state["bulk"] = True
    page = healthy(page.run())
    assert "The table has more than 20 conversations." in text_of(page)
    assert not [button for button in page.button if button.key == "bulk_keep"]


def test_the_cut_is_drawn_in_both_charts_and_follows_the_slider(explore: Callable[..., AppTest]) -> None:
    def lines(page: AppTest) -> tuple[list[float], list[float]]:
        (plane,) = (json.loads(chart.proto.spec) for chart in page.get("plotly_chart"))
        drawn = [shape["y1"] for shape in plane["layout"]["shapes"] if shape["line"].get("dash") == "dash"]
        return [domain["cut"] for domain in cut_chart(page)["domains"] if domain["cut"] is not None], drawn

    page = explore(run="first")
    before = lines(page)
    assert [len(found) for found in before] == [2, 2]
    page = healthy(page.slider(key="recipe_all_ratio").set_value(40.0).run())
    after = lines(page)
    assert [len(found) for found in after] == [2, 2]
    assert all(old != new for old, new in zip(before, after, strict=True))
    page = healthy(page.selectbox(key="score_picker").set_value("base_loss").run())
    assert "Cut-offs are not drawn: rows are ranked by Learnability" in text_of(page)
