"""What stands in a closed part of Curate is not drawn, and still decides what is selected."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.fakes import ScoredRecord, build_scored_store
from tests.pages.closed_parts import PARTS, with_open_parts

PAGE = Path(__file__).parents[2] / "pages" / "curate_page.py"
ROWS = [ScoredRecord("chat", 2.0, number / 50, 10 + number, f"chat {number}") for number in range(100)]
INSIDE = ("recipe_order", "recipe_without", "recipe_short", "recipe_text", "filter_low")


@pytest.fixture(autouse=True)
def workspace(page_workspace: Path) -> None:
    build_scored_store(page_workspace, ROWS).close()


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def opened() -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=60)


def closed(page: AppTest) -> AppTest:
    for part in PARTS:
        page.session_state[part] = False
    return healthy(page.run())


def drawn(page: AppTest) -> set[str]:
    kinds = (page.selectbox, page.multiselect, page.number_input, page.text_input)
    return {str(control.key) for kind in kinds for control in kind} & set(INSIDE)


def labels(page: AppTest) -> list[str]:
    return [part.label.replace("\\", "") for part in page.expander][:2]


def rows(page: AppTest) -> str:
    return next(metric.value for metric in page.metric if metric.label == "Rows selected")


def test_a_closed_part_draws_no_control_and_says_what_is_set_in_it() -> None:
    page = healthy(opened().run())
    assert not drawn(page)
    assert labels(page) == ["Ranking: Learnability, highest score first", "Guards: no filter, exact duplicates removed"]
    page = healthy(with_open_parts(page).run())
    assert drawn(page) == set(INSIDE)
    assert labels(page) == ["Ranking", "Guards"]


def test_what_was_set_in_a_part_holds_when_it_is_closed_and_in_a_new_session() -> None:
    page = healthy(with_open_parts(opened()).run())
    page.selectbox(key="recipe_order").set_value("lowest")
    page.number_input(key="recipe_short").set_value(60)
    page = healthy(page.run())
    page = healthy(page.slider(key="recipe_all_ratio").set_value(100.0).run())
    assert rows(page) == "50"
    for shown in (closed(page), healthy(opened().run())):
        assert not drawn(shown)
        assert rows(shown) == "50"
        assert labels(shown) == [
            "Ranking: Learnability, lowest score first",
            "Guards: 1 filter, exact duplicates removed",
        ]
    page = healthy(page.button(key="draft_undo").click().run())  # the share
    page = healthy(page.button(key="draft_undo").click().run())  # order and filter
    assert labels(page) == ["Ranking: Learnability, highest score first", "Guards: no filter, exact duplicates removed"]
    page = healthy(with_open_parts(page).run())
    assert page.number_input(key="recipe_short").value is None


def test_a_part_stays_open_while_its_settings_change() -> None:
    page = healthy(with_open_parts(opened()).run())
    page = healthy(page.text_input(key="recipe_text").set_value("7").run())
    assert drawn(page) == set(INSIDE)
    page = healthy(page.number_input(key="filter_low").set_value(0.5).run())
    assert drawn(page) == set(INSIDE)
