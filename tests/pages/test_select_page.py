"""The Select page, run by Streamlit's own test harness against a real store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.filters import Range, RowFilter
from core.selection import Amount, Selection, save_selection, saved_selection, select_summary
from core.store import Store
from tests.fakes import ScoredRecord, add_scored_records, build_scored_store
from ui.session import open_session

PAGE = Path(__file__).parents[2] / "pages" / "select_page.py"
HOSTILE = "![x](http://example.invalid/x.png)"
ROWS = [
    *(ScoredRecord("chat", 2.0, number / 50, 10, f"chat {number}") for number in range(100)),
    *(ScoredRecord("math", 1.0, number / 50, 20, f"math {number}") for number in range(50)),
    *(ScoredRecord("math", 1.0, 0.1, 20, "twin", truncated=True) for _ in range(4)),
]


@pytest.fixture
def workspace(page_workspace: Path) -> Path:
    """The page's workspace, with one scored run."""
    build_scored_store(page_workspace, ROWS).close()
    return page_workspace


@pytest.fixture
def select(workspace: Path) -> Callable[[], AppTest]:
    return lambda: healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def metrics(page: AppTest) -> list[str]:
    return [metric.value for metric in page.metric]


def text_of(page: AppTest) -> str:
    """Everything the page says in words."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.error, page.success)
    return "\n".join(element.value for elements in kinds for element in elements)


def save(page: AppTest) -> AppTest:
    """Press the form's button."""
    return next(button for button in page.button if button.label == "Save selection").click().run()


def store() -> Store:
    """The store that the page holds open."""
    return open_session().store


def test_an_empty_workspace_says_what_to_do_next(page_workspace: Path) -> None:
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "Import a dataset first" in page.info[0].value


def test_the_page_starts_at_six_per_cent_with_every_count_on_it(select: Callable[[], AppTest]) -> None:
    page = select()
    # 6 % of chat's 100 rows and of math's 54 (3.24): 6 rows of 10 tokens and 3 of 20.
    assert metrics(page) == ["9", "145", "120", "1,960"]
    assert "6 of 100 rows, 60 of 1,000 tokens" in text_of(page)
    assert "3 of 54 rows, 60 of 1,080 tokens" in text_of(page)


def test_a_preset_moves_every_domain(select: Callable[[], AppTest]) -> None:
    page = healthy(select().button(key="recipe_preset_16.7").click().run())
    assert page.slider(key="recipe_domain_ratio_math").value == 16.7
    assert metrics(page)[0] == f"{17 + 9}"
    assert "not a guarantee" in text_of(page)


def test_moving_a_domains_slider_changes_that_domain_only_until_it_follows_again(
    select: Callable[[], AppTest],
) -> None:
    page = healthy(select().slider(key="recipe_domain_ratio_math").set_value(50.0).run())
    assert "27 of 54 rows" in text_of(page)
    assert "6 of 100 rows" in text_of(page)
    page = healthy(page.slider(key="recipe_all_ratio").set_value(10.0).run())
    assert "27 of 54 rows" in text_of(page)
    assert "10 of 100 rows" in text_of(page)
    page = healthy(page.button(key="recipe_follow").click().run())
    assert "5 of 54 rows" in text_of(page)


def test_a_total_of_tokens_is_split_over_the_domains(select: Callable[[], AppTest]) -> None:
    page = healthy(select().segmented_control(key="recipe_unit").set_value("tokens").run())
    page = healthy(page.slider(key="recipe_all_tokens").set_value(208).run())
    assert [page.slider(key=f"recipe_domain_tokens_{domain}").value for domain in ("chat", "math")] == [100, 108]
    assert "10 of 100 rows, 100 of 1,000 tokens" in text_of(page)
    assert "5 of 54 rows, 100 of 1,080 tokens" in text_of(page)


def test_asking_for_more_than_there_is_says_what_was_done(select: Callable[[], AppTest]) -> None:
    page = healthy(select().slider(key="recipe_domain_ratio_math").set_value(100.0).run())
    assert "51 of 54 rows wanted; that is all there is" in page.warning[0].value


def test_filters_narrow_what_can_be_kept(select: Callable[[], AppTest]) -> None:
    page = select()
    page.slider(key="recipe_all_ratio").set_value(100.0)
    page.multiselect(key="recipe_without").set_value(["truncated"])
    page.number_input(key="recipe_short").set_value(15)
    page = healthy(page.run())
    assert metrics(page)[0] == "50"
    reasons = page.dataframe[1].value
    assert set(reasons["Reason"]) == {"filtered: token_count", "flag: truncated"}


def test_duplicates_can_be_kept(select: Callable[[], AppTest]) -> None:
    page = select()
    page.slider(key="recipe_all_ratio").set_value(100.0)
    page = healthy(page.run())
    assert metrics(page)[0] == "151"
    page = healthy(page.checkbox(key="recipe_collapse").uncheck().run())
    assert metrics(page)[0] == "154"


def test_pooled_there_is_one_slider_and_one_cut(select: Callable[[], AppTest]) -> None:
    page = healthy(select().selectbox(key="recipe_scope").set_value("pooled").run())
    assert [slider.key for slider in page.slider] == ["recipe_all_ratio"]
    assert page.dataframe[0].value["Learnability at the cut"].nunique() == 1


def test_a_random_control_asks_for_a_seed_and_draws_no_cut(select: Callable[[], AppTest]) -> None:
    page = healthy(select().selectbox(key="recipe_order").set_value("random").run())
    page = healthy(page.number_input(key="recipe_seed").set_value(3).run())
    assert "No cut is drawn" in text_of(page)


def test_rows_inside_and_outside_the_cut_are_shown(select: Callable[[], AppTest]) -> None:
    page = healthy(select().selectbox(key="cut_domain").set_value("chat").run())
    shown = [frame.value["response"].tolist() for frame in page.dataframe if "response" in frame.value]
    assert shown == [[f"chat {n}" for n in (1, 2, 3, 4, 5)], [f"chat {n}" for n in (6, 7, 8, 9, 10)]]


def test_a_recipe_is_saved_as_the_controls_stand(select: Callable[[], AppTest]) -> None:
    page = healthy(select().slider(key="recipe_domain_ratio_math").set_value(16.7).run())
    page.text_input(key="selection_name").set_value("mine")
    healthy(save(page))
    assert "Saved as 'mine'" in text_of(page).replace("\\", "")
    assert saved_selection(store(), "mine") == Selection("planets", domain_amounts={"math": Amount("ratio", 0.167)})


def test_a_taken_name_is_refused_in_one_sentence(select: Callable[[], AppTest]) -> None:
    select()
    save_selection(store(), "mine", Selection("planets", seed=9))
    page = select()
    page.text_input(key="selection_name").set_value("mine")
    save(page)
    assert not page.exception
    assert "exists with another recipe" in page.error[0].value.replace("\\", "")


def test_a_loaded_recipe_keeps_what_it_kept_when_saved(select: Callable[[], AppTest]) -> None:
    select()
    recipe = Selection(
        "planets",
        score="loss_difference",
        order="random",
        amount=Amount("rows", 20),
        domain_amounts={"math": Amount("tokens", 5000)},
        collapse_duplicates=False,
        filter=RowFilter(("chat", "math"), (Range("loss_difference", 0.1, None), Range("base_loss", 0.5, None))),
        seed=4,
    )
    save_selection(store(), "odd", recipe)
    page = healthy(select().button(key="load_selection").click().run())
    expected = select_summary(store(), recipe)
    assert metrics(page)[:3] == [f"{expected.kept_rows:,}", f"{expected.dropped_rows:,}", f"{expected.kept_tokens:,}"]
    page.text_input(key="selection_name").set_value("again")
    healthy(save(page))
    assert saved_selection(store(), "again") == recipe


def test_loading_a_recipe_of_another_run_goes_to_that_run(select: Callable[[], AppTest]) -> None:
    select()
    moons = [ScoredRecord("moon", 1.0, 0.5, response="Io"), ScoredRecord("moon", 1.0, 0.4, response="Europa")]
    add_scored_records(store(), moons, run="moons", dataset="moons", source="m.jsonl")
    save_selection(store(), "both moons", Selection("moons", amount=Amount("ratio", 1.0)))
    page = select()
    page.selectbox(key="run_picker").set_value("planets").run()
    page = healthy(page.button(key="load_selection").click().run())
    assert metrics(page)[0] == "2"


def test_a_saved_recipe_whose_run_is_gone_says_so(select: Callable[[], AppTest]) -> None:
    select()
    add_scored_records(store(), [ScoredRecord("m", 1.0, 0.5)], run="moons", dataset="moons", source="m.jsonl")
    save_selection(store(), "lost", Selection("moons"))
    store().remove_dataset("moons")
    page = select().button(key="load_selection").click().run()
    assert not page.exception
    assert "No run is named 'moons'" in page.error[0].value.replace("\\", "")


def test_two_saved_selections_are_compared_by_rows(select: Callable[[], AppTest]) -> None:
    select()
    save_selection(store(), "a", Selection("planets", amount=Amount("ratio", 0.1)))
    save_selection(store(), "b", Selection("planets", amount=Amount("ratio", 0.2)))
    page = select()
    table = page.dataframe[-1].value
    assert table["Rows in both"].tolist() == [10, 5, 15]
    assert table["Only in the first"].tolist() == [10, 6, 16]


def test_text_of_the_dataset_is_never_markdown(page_workspace: Path) -> None:
    rows = [ScoredRecord(HOSTILE, 1.0, 0.5, response=HOSTILE), ScoredRecord(HOSTILE, 1.0, 0.4, response="b")]
    opened = build_scored_store(page_workspace, rows)
    save_selection(opened, HOSTILE, Selection("planets", amount=Amount("ratio", 1.0)))
    opened.close()
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert all(HOSTILE not in element.value for kind in (page.markdown, page.caption) for element in kind)
    assert all(HOSTILE not in slider.label for slider in page.slider)
