"""A selection's draft: what a person did is there again in a new browser session, and can be undone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.filters import EVERYTHING, Range, RowFilter
from core.selection import Amount, Pick, Selection, save_selection
from core.store import Store
from tests.fakes import ScoredRecord, build_scored_store
from tests.pages.amount_sliders import domain_sliders
from tests.pages.closed_parts import with_open_parts
from ui.shell.access import Role, Visitor
from ui.shell.session import open_session

PAGES = Path(__file__).parents[2] / "pages"
ROWS = [
    *(ScoredRecord("chat", 2.0, number / 50, 10, f"chat {number}") for number in range(100)),
    *(ScoredRecord("math", 1.0, number / 50, 20, f"math {number}") for number in range(50)),
]
_NOTES = ("Draft ", "Changes are saved", "Saving the draft", "View only")
FILTER = '{"ranges":[["learnability",0.5,null]]}'


@pytest.fixture(autouse=True)
def workspace(page_workspace: Path) -> Path:
    """One scored run."""
    build_scored_store(page_workspace, ROWS).close()
    return page_workspace


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Role], None]:
    """From now on somebody else looks at the pages."""

    def come(email: str, role: Role) -> None:
        for module in ("ui.kit.draft_state.visitor", "ui.shell.access.visitor"):
            monkeypatch.setattr(module, lambda: Visitor(role, email))

    return come


def store() -> Store:
    """The store that the page holds open."""
    return open_session().store


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def select(**parameters: str) -> AppTest:
    """The page with the form, in a browser session of its own."""
    page = with_open_parts(AppTest.from_file(str(PAGES / "curate_page.py"), default_timeout=60))
    for name, value in parameters.items():
        page.query_params[name] = value
    return healthy(page.run())


def press(page: AppTest, key: str) -> AppTest:
    return healthy(page.button(key=key).click().run())


def steps(page: AppTest) -> tuple[bool, bool]:
    """Whether there is something to undo, and to redo."""
    return not page.button(key="draft_undo").disabled, not page.button(key="draft_redo").disabled


def note(page: AppTest) -> str:
    """What the page says of the draft."""
    return next(each.value for each in page.caption if each.value.startswith(_NOTES))


def share(page: AppTest) -> float:
    return float(page.slider(key="recipe_all_ratio").value)


def with_share(page: AppTest, per_cent: float) -> AppTest:
    return healthy(page.slider(key="recipe_all_ratio").set_value(per_cent).run())


def example_of(row: int) -> str:
    return str(store().rows("SELECT example_id FROM scored_1 WHERE row_number = ?", [row])[0][0])


def picked(page: AppTest, row: int) -> AppTest:
    """Pick a row to be kept."""
    page.session_state["shown"] = "Picks"
    page = healthy(page.run())
    page = healthy(page.number_input(key="example").set_value(row).run())
    return healthy(page.segmented_control(key=f"pick_{example_of(row)}").set_value("Always select").run())


def picks(page: AppTest) -> list[str]:
    """The picked conversations of this browser session."""
    found: dict[str, tuple[Pick, ...]] = page.session_state["kept_picks"]
    return [pick.example_id for pick in found["space"]]


def draft_count() -> int:
    return int(store().arrow("SELECT count(*) AS n FROM draft").to_pylist()[0]["n"])


def test_a_new_session_has_the_form_and_the_picks_of_the_last_one() -> None:
    page = with_share(select(), 20.0)
    page = healthy(domain_sliders(page)["math"].set_value(50.0).run())
    page.selectbox(key="recipe_order").set_value("random")
    page.multiselect(key="recipe_without").set_value(["truncated"])
    page.text_input(key="recipe_text").set_value("1")
    page = picked(healthy(page.run()), 3)
    assert "Draft saved." in note(page)
    again = select()
    assert share(again) == 20.0
    assert domain_sliders(again)["math"].value == 50.0
    assert again.selectbox(key="recipe_order").value == "random"
    assert again.multiselect(key="recipe_without").value == ["truncated"]
    assert again.text_input(key="recipe_text").value == "1"
    assert picks(again) == [example_of(3)]
    assert steps(again) == (True, False)


def test_looking_at_the_page_writes_nothing_and_the_first_change_can_be_undone() -> None:
    page = select()
    assert steps(page) == (False, False)
    assert "Changes are saved" in note(page)
    assert draft_count() == 0
    page = press(with_share(page, 20.0), "draft_undo")
    assert (share(page), steps(page)) == (6.0, (False, True))


def test_undo_and_redo_move_the_form_and_a_change_after_undo_ends_redo() -> None:
    page = select()
    for per_cent in (10.0, 20.0, 30.0):
        page = with_share(page, per_cent)
    page = press(press(page, "draft_undo"), "draft_undo")
    assert (share(page), steps(page)) == (10.0, (True, True))
    again = select()  # the position is kept too, and a visit is no change
    assert (share(again), steps(again)) == (10.0, (True, True))
    page = press(page, "draft_redo")
    assert share(page) == 20.0
    page = with_share(page, 40.0)
    assert steps(page) == (True, False)
    assert share(press(page, "draft_undo")) == 20.0


def test_a_pick_and_a_domains_own_amount_are_undone() -> None:
    page = picked(select(), 3)
    page = healthy(domain_sliders(page)["math"].set_value(50.0).run())
    page = press(page, "draft_undo")
    assert domain_sliders(page)["math"].value == 6.0
    assert picks(page) == [example_of(3)]
    page = press(page, "draft_undo")
    assert picks(page) == []
    assert "Replaced picks" not in "".join(text.value for text in page.text)
    assert picks(press(page, "draft_redo")) == [example_of(3)]


def test_loading_a_saved_selection_is_one_step() -> None:
    with_share(select(), 20.0)
    loaded = Selection(
        "planets",
        amount=Amount("rows", 30),
        domain_amounts={"math": Amount("rows", 7)},
        filter=replace(EVERYTHING, ranges=(Range("learnability", 0.1, None),)),
        picks=(Pick(example_of(5), False),),
    )
    save_selection(store(), "kept", loaded)
    page = press(select(), "load_selection")
    assert page.segmented_control(key="recipe_unit").value == "rows"
    page = press(page, "draft_undo")
    assert page.segmented_control(key="recipe_unit").value == "ratio"
    assert (share(page), page.number_input(key="recipe_low").value, picks(page)) == (20.0, None, [])
    again = press(select(), "draft_redo")
    assert domain_sliders(again)["math"].value == 7
    assert picks(again) == [example_of(5)]
    assert steps(again) == (True, False)


def test_the_last_write_wins_and_an_idle_tab_does_not_write() -> None:
    first, second = select(), select()
    second = with_share(second, 20.0)
    healthy(first.run())
    assert share(select()) == 20.0
    with_share(first, 30.0)
    assert share(press(select(), "draft_undo")) == 20.0


def test_each_person_has_a_draft_and_who_may_only_look_writes_none(
    visit: Callable[[str, Role], None],
) -> None:
    visit("anne@example.org", Role.RUN)
    picked(with_share(select(), 20.0), 3)
    visit("bert@example.org", Role.RUN)
    page = select()
    assert (share(page), steps(page)) == (6.0, (False, False))
    visit("carl@example.org", Role.LOOK)
    page = with_share(select(), 50.0)
    assert steps(page) == (False, False)
    assert "View only" in note(page)
    assert draft_count() == 1
    visit("anne@example.org", Role.RUN)
    assert share(select()) == 20.0


def explore(**parameters: str) -> AppTest:
    """The page with the charts, in a browser session of its own."""
    page = with_open_parts(AppTest.from_file(str(PAGES / "curate_page.py"), default_timeout=60))
    for name, value in parameters.items():
        page.query_params[name] = value
    return healthy(page.run())


def test_the_charts_filter_is_kept_and_undone() -> None:
    page = with_share(select(), 20.0)
    page.session_state["kept_filter"] = RowFilter(ranges=(Range("learnability", 0.5, None),))
    page = healthy(page.run())
    assert explore().query_params["filter"] == FILTER
    press(page, "draft_undo")
    assert "filter" not in explore().query_params


def test_a_filter_in_a_link_comes_before_the_drafts() -> None:
    page = select()
    page.session_state["kept_filter"] = RowFilter(ranges=(Range("learnability", 0.5, None),))
    with_share(page, 20.0)
    other = '{"domains":["math"]}'
    assert explore(filter=other).query_params["filter"] == other


def test_picks_follow_the_dataset_and_other_settings_the_run() -> None:
    picked(with_share(select(run="planets"), 20.0), 3)
    store().save_run("other", "space", store().run("planets")["loss_sets"])
    page = select(run="other")
    assert (share(page), picks(page)) == (6.0, [example_of(3)])
    page = with_share(page, 40.0)
    page = healthy(page.selectbox(key="run_picker").set_value("planets").run())
    assert (share(page), picks(page)) == (20.0, [example_of(3)])
    page = healthy(page.selectbox(key="run_picker").set_value("other").run())
    assert share(page) == 40.0


def test_a_draft_of_another_version_is_said_and_the_page_works() -> None:
    with_share(select(), 20.0)
    store().write(lambda connection: connection.execute("UPDATE draft_part SET content = '{\"odd\": 1}'"))
    open_session().drafts._entries.clear()
    page = AppTest.from_file(str(PAGES / "curate_page.py"), default_timeout=60).run()
    assert not page.exception
    assert "draft" in page.error[0].value
    page = page.slider(key="recipe_all_ratio").set_value(30.0).run()
    assert (share(page), share(select())) == (30.0, 30.0)
