"""The Curate page: its recipe, picks and saved selections, run by Streamlit's own test harness against a real store."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from core.data.filters import Range, Region, RowFilter
from core.data.text_search import TextSearch
from core.selection import (
    Amount,
    Pick,
    Selection,
    save_selection,
    saved_selection,
    saved_selection_names,
    select_summary,
)
from core.selection.recipe import Spread
from core.store import Store, save_recipe
from core.store.embedding_files import embeddings_of_run
from core.store.near_duplicates import GROUPS_SCHEMA, save_near_duplicates
from tests.core.evidence.test_learning_left import PLANTED, TOKENS, law, write_steps
from tests.fakes import ScoredRecord, add_scored_records, build_scored_store
from tests.pages.amount_sliders import domain_sliders
from tests.pages.closed_parts import with_open_parts
from ui.shell.access import Role, Visitor
from ui.shell.session import open_session

PAGE = Path(__file__).parents[2] / "pages" / "curate_page.py"
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
    return lambda: healthy(with_open_parts(AppTest.from_file(str(PAGE), default_timeout=30)).run())


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def metrics(page: AppTest) -> list[str]:
    """Selected rows and scored tokens."""
    return [metric.value for metric in page.metric if "selected" in metric.label]


def profile(page: AppTest) -> dict[str, tuple[str, str]]:
    """The figures above the charts, by label: of the selection, and of the data."""
    return {metric.label: (metric.value, metric.delta) for metric in page.metric if "selected" not in metric.label}


def text_of(page: AppTest) -> str:
    """Everything the page says in words."""
    kinds = (page.markdown, page.caption, page.text, page.info, page.warning, page.error, page.success)
    return "\n".join(element.value for elements in kinds for element in elements)


def save(page: AppTest) -> AppTest:
    """Press the form's button."""
    return next(button for button in page.button if button.label == "Save selection").click().run()


def choice(page: AppTest, key: str, value: str) -> AppTest:
    """Choose one of the segments of a control."""
    return healthy(page.segmented_control(key=key).set_value(value).run())


def shown(page: AppTest, part: str) -> AppTest:
    """Show a part of the rows."""
    return choice(page, "shown", part)


def opened(page: AppTest, view: str) -> AppTest:
    """Open one of the tabs on the right."""
    page.session_state["view"] = view
    return healthy(page.run())


def saved_tab(page: AppTest) -> AppTest:
    return opened(page, "Saved selections")


def of_domains(page: AppTest) -> list[pd.DataFrame]:
    """The tables of the tab By domain: the numbers of each domain, and the reasons."""
    return [frame.value for frame in opened(page, "By domain").dataframe if "Domain" in frame.value]


def saved_as(page: AppTest, name: str) -> Selection:
    """Save the recipe as the controls stand, and read it back."""
    page.text_input(key="selection_name").set_value(name)
    healthy(save(page))
    return saved_selection(store(), name)


def example_of(row: int) -> str:
    return str(store().rows("SELECT example_id FROM scored_1 WHERE row_number = ?", [row])[0][0])


def store() -> Store:
    """The store that the page holds open."""
    return open_session().store


def test_an_empty_workspace_says_what_to_do_next(page_workspace: Path) -> None:
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert "Import a dataset first" in page.info[0].value


def test_the_page_starts_at_six_per_cent_with_every_count_on_it(select: Callable[[], AppTest]) -> None:
    page = select()
    # 6 % of chat's 100 rows and of math's 54 (3.24): 6 rows of 10 tokens and 3 of 20.
    assert metrics(page) == ["9", "120"]
    assert "Not selected: 145 rows, 1,960 scored tokens." in text_of(page)
    assert "6 of 100 rows, 60 of 1,000 tokens" in text_of(page)
    assert "3 of 54 rows, 60 of 1,080 tokens" in text_of(page)


def test_the_profile_of_the_selection_stands_beside_the_data_and_follows_the_slider(
    select: Callable[[], AppTest],
) -> None:
    page = select()
    found = profile(page)
    assert found["Median length"] == ("10 tokens", "all rows 10 tokens")
    assert found["Tokens"] == ("5.8%", "5.8% of rows")
    assert found["Short"] == found["Repetitive"] == found["Trained on"] == ("0.0%", "all rows 0.0%")
    assert "2nd reference" not in found
    page = healthy(domain_sliders(page)["math"].set_value(50.0).run())
    assert profile(page)["Median length"] == ("20 tokens", "all rows 10 tokens")


def test_length_bands_are_part_of_the_recipe_and_take_the_cut_away(select: Callable[[], AppTest]) -> None:
    page = healthy(select().number_input(key="recipe_length_bands").set_value(4).run())
    assert metrics(page)[0] == "9"
    assert "within length bands" in of_domains(page)[0]["Note"].tolist()
    page = opened(page, "Overview")
    assert "There is no cut-off: rows are ranked within length bands." in text_of(page)
    assert saved_as(page, "banded").length_bands == 4


def test_a_preset_moves_every_domain(select: Callable[[], AppTest]) -> None:
    page = healthy(select().button(key="recipe_preset_16.7").click().run())
    assert domain_sliders(page)["math"].value == 16.7
    assert metrics(page)[0] == f"{17 + 9}"
    assert "not a guarantee" in str(page.button(key="recipe_preset_16.7").help)


def test_moving_a_domains_slider_changes_that_domain_only_until_it_follows_again(
    select: Callable[[], AppTest],
) -> None:
    page = healthy(domain_sliders(select())["math"].set_value(50.0).run())
    assert "27 of 54 rows" in text_of(page)
    assert "6 of 100 rows" in text_of(page)
    page = healthy(page.slider(key="recipe_all_ratio").set_value(10.0).run())
    assert "27 of 54 rows" in text_of(page)
    assert "10 of 100 rows" in text_of(page)
    page = healthy(page.button(key="recipe_follow").click().run())
    assert "5 of 54 rows" in text_of(page)


def test_a_message_sent_before_the_new_sliders_arrived_is_no_move_of_them(select: Callable[[], AppTest]) -> None:
    page = select()
    late = page._tree.get_widget_states()  # what the browser holds until it has the next drawing
    page = healthy(page.slider(key="recipe_all_ratio").set_value(10.0).run())
    for state in late.widgets:
        if "recipe_all_ratio" in state.id:
            state.double_array_value.data[:] = [20.0]
    page = healthy(page._run(late))
    assert [slider.value for slider in page.slider] == [20.0, 20.0, 20.0]
    assert [field.value for field in page.number_input if str(field.key).startswith("recipe_number")] == [20.0] * 3


def test_a_total_of_tokens_is_split_over_the_domains(select: Callable[[], AppTest]) -> None:
    page = healthy(select().segmented_control(key="recipe_unit").set_value("tokens").run())
    page = healthy(page.slider(key="recipe_all_tokens").set_value(208).run())
    assert [domain_sliders(page)[domain].value for domain in ("chat", "math")] == [100, 108]
    assert "10 of 100 rows, 100 of 1,000 tokens" in text_of(page)
    assert "5 of 54 rows, 100 of 1,080 tokens" in text_of(page)


def test_asking_for_more_than_there_is_says_what_was_done(select: Callable[[], AppTest]) -> None:
    page = healthy(domain_sliders(select())["math"].set_value(100.0).run())
    assert "54 rows requested, 51 eligible" in page.warning[0].value


def test_filters_narrow_what_can_be_kept(select: Callable[[], AppTest]) -> None:
    page = select()
    page.slider(key="recipe_all_ratio").set_value(100.0)
    page.multiselect(key="recipe_without").set_value(["truncated"])
    page.number_input(key="recipe_short").set_value(15)
    page = healthy(page.run())
    assert metrics(page)[0] == "50"
    reasons = of_domains(page)[1]
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
    assert of_domains(page)[0]["Learnability at the cut-off"].nunique() == 1


def cut_chart(page: AppTest) -> Any:
    """What the cut chart gets to draw."""
    return json.loads(page.get("bidi_component")[0].proto.json)


def test_the_cut_of_each_domain_can_be_dragged_unless_weights_decide_it(select: Callable[[], AppTest]) -> None:
    page = opened(select(), "Overview")
    drawn = cut_chart(page)
    assert [(domain["name"], round(domain["cut"], 4)) for domain in drawn["domains"]] == [
        ("chat", 0.95),
        ("math", 0.96),
    ]
    assert (drawn["order"], drawn["linked"], drawn["fixed"]) == ("highest", False, False)
    page = healthy(page.segmented_control(key="recipe_way").set_value("mixture").run())
    assert cut_chart(page)["fixed"]
    assert "The domain weights decide where it stands." in text_of(page)
    page = healthy(page.selectbox(key="recipe_scope").set_value("pooled").run())
    assert cut_chart(page)["linked"]


def test_a_random_control_asks_for_a_seed_and_draws_no_cut(select: Callable[[], AppTest]) -> None:
    page = healthy(select().selectbox(key="recipe_order").set_value("random").run())
    page = healthy(page.number_input(key="recipe_seed").set_value(3).run())
    assert "There is no cut-off" in text_of(page)


@pytest.mark.parametrize(
    ("earlier", "present"),
    [("Score and cut", "All"), ("Just inside and outside", "At the cut"), ("Hand picks", "Picks")],
)
def test_a_link_to_a_tab_of_the_earlier_page_shows_what_it_showed(
    select: Callable[[], AppTest], earlier: str, present: str
) -> None:
    select()
    page = AppTest.from_file(str(PAGE), default_timeout=30)
    page.query_params["shown"] = earlier
    assert healthy(page.run()).segmented_control(key="shown").value == present


def test_rows_inside_and_outside_the_cut_are_shown(select: Callable[[], AppTest]) -> None:
    page = healthy(shown(select(), "At the cut").selectbox(key="cut_domain").set_value("chat").run())
    sides = [frame.value["response"].tolist() for frame in page.dataframe if "response" in frame.value]
    assert sides == [[f"chat {n}" for n in (1, 2, 3, 4, 5)], [f"chat {n}" for n in (6, 7, 8, 9, 10)]]


def test_a_recipe_is_saved_as_the_controls_stand(select: Callable[[], AppTest]) -> None:
    page = healthy(domain_sliders(select())["math"].set_value(16.7).run())
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
    assert metrics(page) == [f"{expected.kept_rows:,}", f"{expected.kept_tokens:,}"]
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


# The mixture


def mixture(select: Callable[[], AppTest], **weights: float) -> AppTest:
    page = choice(select(), "recipe_way", "mixture")
    for domain, weight in weights.items():
        page = healthy(page.number_input(key=f"recipe_weight_{domain}").set_value(weight).run())
    return page


def weights(page: AppTest) -> list[float]:
    return [float(page.number_input(key=f"recipe_weight_{domain}").value or 0) for domain in ("chat", "math")]


def test_a_mixture_starts_as_in_the_data_and_no_weight_moves_another(select: Callable[[], AppTest]) -> None:
    page = mixture(select)
    assert weights(page) == [64.9351, 35.0649]
    page = mixture(select, math=80.0)
    assert weights(page) == [64.9351, 80.0]
    assert "add up to **144.9 %**" in text_of(page)
    assert "Effective 55.2 %. " in text_of(page)


def test_normalising_keeps_the_locked_weight(select: Callable[[], AppTest]) -> None:
    page = healthy(mixture(select, chat=50.0, math=80.0).checkbox(key="recipe_lock_math").check().run())
    page = healthy(page.button(key="mixture_normalise").click().run())
    assert weights(page) == [20.0, 80.0]
    assert "add up to **100 %**" in text_of(page)
    # 6 % of all 154 rows are 9, of which 80 % are 7.2.
    assert "2 of 100 rows" in text_of(page)
    assert "7 of 54 rows" in text_of(page)


def test_weights_follow_what_the_references_training_left_to_learn(
    select: Callable[[], AppTest], tmp_path: Path
) -> None:
    page = mixture(select)
    page = page.button(key="mixture_learning").click().run()
    assert "does not say which models it has" in page.warning[0].value
    run = store().run("planets")
    model = {"label": "r", "path": str(write_steps(tmp_path / "model", 90)), "adapter": None, "weights_hash": "r"}
    described = {"models": {"reference": model}, "model_fingerprints": {"reference": "r"}}
    store().save_run("planets", run["dataset"], run["loss_sets"], described)
    page = healthy(page.button(key="mixture_learning").click().run())
    # By hand, from the planted curves: a share of the tokens to 1.5, times exponent * (loss - floor) / tokens.
    wanted = [
        (TOKENS[domain] / 1000) ** 1.5 * PLANTED[domain][2] * (law(domain, 90_000) - PLANTED[domain][0])
        for domain in ("chat", "math")
    ]
    assert weights(page) == pytest.approx([100 * each / sum(wanted) for each in wanted], abs=0.5)
    page = healthy(page.checkbox(key="recipe_lock_math").check().run())
    page = healthy(page.number_input(key="recipe_weight_math").set_value(40.0).run())
    assert weights(healthy(page.button(key="mixture_learning").click().run())) == [60.0, 40.0]


def test_locked_weights_beyond_100_are_said_and_nothing_moves(select: Callable[[], AppTest]) -> None:
    page = healthy(mixture(select, math=120.0).checkbox(key="recipe_lock_math").check().run())
    page = page.button(key="mixture_normalise").click().run()
    assert "more than 100" in page.warning[0].value
    assert weights(page) == [64.9351, 120.0]
    assert not healthy(page.run()).warning


def test_a_start_leaves_the_locked_weight(select: Callable[[], AppTest]) -> None:
    page = healthy(mixture(select).button(key="mixture_equal").click().run())
    assert weights(page) == [50.0, 50.0]
    page = healthy(mixture(select, math=80.0).checkbox(key="recipe_lock_math").check().run())
    page = healthy(page.button(key="mixture_root").click().run())
    assert weights(page) == [20.0, 80.0]


def test_weights_that_are_all_zero_are_one_sentence_and_the_controls_stay(select: Callable[[], AppTest]) -> None:
    page = mixture(select, chat=0.0)
    page = page.number_input(key="recipe_weight_math").set_value(0.0).run()
    assert not page.exception
    assert "All weights are 0" in page.error[0].value
    page = healthy(page.number_input(key="recipe_weight_math").set_value(1.0).run())
    assert "9 of 54 rows" in text_of(page)


def test_a_capped_domain_of_a_mixture_is_said_aloud(select: Callable[[], AppTest]) -> None:
    page = choice(mixture(select, chat=0.0, math=100.0), "recipe_unit", "rows")
    page = healthy(page.slider(key="recipe_all_rows").set_value(100).run())
    assert "math: 100 rows requested, 51 eligible" in page.warning[0].value.replace("\\", "")


def test_a_mixture_is_saved_and_comes_back(select: Callable[[], AppTest]) -> None:
    recipe = saved_as(mixture(select, chat=25.0, math=75.0), "mixed")
    assert recipe == Selection("planets", weights={"chat": 25.0, "math": 75.0})
    page = healthy(select().button(key="load_selection").click().run())
    assert weights(page) == [25.0, 75.0]
    assert saved_as(page, "again") == recipe


def test_a_loaded_mixture_gives_a_domain_that_it_does_not_name_nothing(select: Callable[[], AppTest]) -> None:
    select()
    save_selection(store(), "only math", Selection("planets", weights={"math": 3.0}))
    page = healthy(select().button(key="load_selection").click().run())
    assert weights(page) == [0.0, 3.0]
    assert "9 of 54 rows" in text_of(page)


# Which rows may be kept


def test_a_search_narrows_what_can_be_kept_and_is_saved(select: Callable[[], AppTest]) -> None:
    page = select()
    page.text_input(key="recipe_text").set_value("7 chat")
    page = healthy(page.run())
    page = healthy(page.slider(key="recipe_all_ratio").set_value(100.0).run())
    assert metrics(page)[0] == "19"  # every word, in any order: chat 7, 17, 27 ... 97 and 70 to 79
    page = healthy(page.selectbox(key="recipe_search_kind").set_value("phrase").run())
    assert metrics(page)[0] == "0"
    page.selectbox(key="recipe_search_kind").set_value("regex")
    page.selectbox(key="recipe_search_place").set_value("response")
    page = healthy(page.text_input(key="recipe_text").set_value("^chat 7$").run())
    assert metrics(page)[0] == "1"
    assert saved_as(page, "found").filter.search == TextSearch("^chat 7$", "regex", "response")


def test_a_bad_pattern_is_one_sentence_and_the_controls_stay(select: Callable[[], AppTest]) -> None:
    page = select()
    page.selectbox(key="recipe_search_kind").set_value("regex")
    page = page.text_input(key="recipe_text").set_value("(").run()
    assert not page.exception
    assert len(page.error) == 1
    assert "is invalid" in page.error[0].value
    assert metrics(healthy(page.text_input(key="recipe_text").set_value("").run()))[0] == "9"


def test_a_range_on_the_former_score_stays_in_sight_as_a_chip(select: Callable[[], AppTest]) -> None:
    page = healthy(select().number_input(key="recipe_low").set_value(0.5).run())
    page = healthy(page.selectbox(key="recipe_score").set_value("base_loss").run())
    assert page.number_input(key="recipe_low").value is None
    assert page.button(key="recipe_chip_0").label.replace("\\", "") == "Learnability from 0.5"
    assert saved_as(page, "odd").filter == RowFilter(ranges=(Range("learnability", 0.5),))
    page = healthy(page.button(key="recipe_chip_0").click().run())
    assert saved_as(page, "plain").filter == RowFilter()


def test_everything_that_a_loaded_filter_has_is_visible(select: Callable[[], AppTest]) -> None:
    select()
    wanted = RowFilter(
        ("math",),
        (Range("learnability", 0.1, None), Range("token_count", 5, 50), Range("base_loss", 0.5, None)),
        ("low_base_loss",),
        ("truncated",),
        TextSearch("twin", "phrase", "response"),
        (Region("base_loss", "reference_loss", ((0.0, 0.0), (4.0, 0.0), (2.0, 3.5))),),
    )
    save_selection(store(), "narrow", Selection("planets", filter=wanted))
    page = healthy(select().button(key="load_selection").click().run())
    assert page.multiselect(key="recipe_domains").value == ["math"]
    assert page.multiselect(key="recipe_without").value == ["low_base_loss"]
    assert [page.number_input(key=f"recipe_{end}").value for end in ("low", "high", "short", "long")] == [
        0.1,
        None,
        5,
        50,
    ]
    assert page.text_input(key="recipe_text").value == "twin"
    chips = [button.label.replace("\\", "") for button in page.button if str(button.key).startswith("recipe_chip")]
    assert chips == ["Base loss from 0.5", "Lasso over base loss and reference loss", "Require truncated"]
    assert saved_as(page, "again").filter == wanted
    page = healthy(page.button(key="recipe_clear").click().run())
    assert saved_as(page, "open").filter == RowFilter()


def test_a_filter_of_the_charts_arrives_in_the_controls_and_leaves_the_ranking(workspace: Path) -> None:
    def page_of_a_filter() -> None:
        import streamlit as st

        from core.data.filters import Range, RowFilter
        from core.selection import scored_run
        from ui.curate.recipe_filters import put_filter_into_form
        from ui.curate.recipe_form import recipe_form
        from ui.shell.session import open_session

        brushed = RowFilter(("math",), (Range("base_loss", 0.5),))
        st.button("Use", on_click=put_filter_into_form, args=(brushed, "base_loss"))
        recipe_form(open_session().store, scored_run(open_session().store, "planets"))

    page = healthy(with_open_parts(AppTest.from_function(page_of_a_filter, default_timeout=30)).run())
    page = healthy(page.button[0].click().run())
    assert page.multiselect(key="recipe_domains").value == ["math"]
    assert page.button(key="recipe_chip_0").label.replace("\\", "") == "Base loss from 0.5"
    assert page.selectbox(key="recipe_score").value == "learnability"
    assert "still ranked by Learnability, not by Base loss" in page.info[0].value


def test_near_duplicates_are_offered_where_they_were_looked_for(select: Callable[[], AppTest]) -> None:
    page = select()
    assert "No near-duplicate search yet" in text_of(page)
    groups = pa.table({"example_id": [example_of(row) for row in (1, 2, 3)], "group_number": [1, 1, 1]})
    save_near_duplicates(store(), "space", 0.8, 151, groups.cast(GROUPS_SCHEMA))
    page = healthy(page.slider(key="recipe_all_ratio").set_value(100.0).run())
    box = page.selectbox(key="recipe_near")
    assert list(box.options) == ["No", "Threshold 0.80 (1 group)"]
    assert metrics(page)[0] == "151"
    page = healthy(box.set_value(0.8).run())
    assert metrics(page)[0] == "149"
    assert saved_as(page, "near").near_duplicates == 0.8


def test_a_spread_is_loaded_changed_and_saved_and_says_which_command_it_needs(select: Callable[[], AppTest]) -> None:
    select()
    recipe = Selection("planets", spread=Spread("k_center", 0.3, 50)).to_fields()
    save_recipe(store(), "wide", recipe, {"kept_rows": 1, "kept_tokens": 1})
    page = select().button(key="load_selection").click().run()
    assert not page.exception
    assert "does not say which models it has" in page.error[0].value
    assert page.slider(key="recipe_spread_weight").value == 0.3
    assert page.number_input(key="recipe_candidates").value == 50
    page = page.selectbox(key="recipe_spread").set_value("clusters").run()
    page.number_input(key="recipe_clusters").set_value(4)
    page = page.selectbox(key="recipe_quota").set_value("proportional").run()
    assert not page.exception
    clusters = Spread("clusters", candidates=50, clusters=4, quota="proportional")
    assert page.session_state["recipe_drawn"].spread == clusters
    page = healthy(page.selectbox(key="recipe_spread").set_value("none").run())
    assert saved_as(page, "as ranked").spread is None


def test_groups_by_embeddings_are_offered_and_shown_beside_those_by_text(select: Callable[[], AppTest]) -> None:
    select()
    run = store().run("planets")
    described = {
        "models": {"base": {"label": "b"}}, "model_fingerprints": {"base": "b"}, "encoding_fingerprint": "e",
    }  # fmt: skip
    store().save_run("planets", "space", run["loss_sets"], described)
    groups = pa.table({"example_id": [example_of(row) for row in (4, 5)], "group_number": [1, 1]})
    key = embeddings_of_run(store().run("planets")).key
    save_near_duplicates(store(), "space", 0.98, 151, groups.cast(GROUPS_SCHEMA), key)
    save_selection(store(), "alike", Selection("planets", near_duplicates=0.98, near_duplicates_by="embeddings"))
    page = healthy(select().button(key="load_selection").click().run())
    box = page.selectbox(key="recipe_near")
    assert list(box.options) == ["No", "Embeddings, cosine 0.98 (1 group)"]
    assert saved_as(page, "again").near_duplicates_by == "embeddings"
    page.query_params["view"] = "Near-duplicates"
    page.session_state["view"], page.session_state["near_by"] = "Near-duplicates", "embeddings"
    page = healthy(page.run())
    assert page.selectbox(key="near_cosine").options == ["0.98"]
    assert [metric.value for metric in page.metric if metric.label == "Rows in groups"] == ["2"]


def test_a_recipe_that_wants_a_search_which_is_not_there_says_how_to_make_it(select: Callable[[], AppTest]) -> None:
    select()
    groups = pa.table({"example_id": [], "group_number": []}, GROUPS_SCHEMA)
    save_near_duplicates(store(), "space", 0.7, 151, groups)
    save_selection(store(), "near", Selection("planets", near_duplicates=0.7))
    store().write(lambda connection: connection.execute("DELETE FROM near_duplicate_set"))
    page = select().button(key="load_selection").click().run()
    assert not page.exception
    assert "has no near-duplicate search at threshold 0.7" in page.error[0].value.replace("\\", "")
    assert metrics(healthy(page.selectbox(key="recipe_near").set_value(0.0).run()))[0] == "9"


# Hand picks


def picked(page: AppTest, row: int, choose: str) -> AppTest:
    """Open a row among the hand picks, and pick it."""
    page = healthy(shown(page, "Picks").number_input(key="example").set_value(row).run())
    return choice(page, f"pick_{example_of(row)}", choose)


def test_a_row_is_kept_by_hand_with_a_note_and_saved_so(select: Callable[[], AppTest]) -> None:
    page = picked(select(), 100, "Always select")
    page = healthy(page.text_input(key=f"pick_note_{example_of(100)}").set_value("a rare one").run())
    assert "Selected by hand: 1 of these rows" in text_of(page)
    assert metrics(page)[0] == "9"
    recipe = saved_as(page, "picked")
    assert recipe.picks == (Pick(example_of(100), True, "a rare one"),)
    table = page.dataframe[0].value
    assert table[["Row", "Domain", "Pick", "Note"]].values.tolist() == [["100", "chat", "Always select", "a rare one"]]


def test_a_pick_is_changed_and_taken_back(select: Callable[[], AppTest]) -> None:
    page = picked(select(), 1, "Never select")
    assert saved_as(page, "without").picks == (Pick(example_of(1), False),)
    page = choice(page, f"pick_{example_of(1)}", "No pick")
    assert saved_as(page, "plain").picks == ()


def test_picks_survive_the_other_tab_and_a_rows_number_that_is_not_there_is_said(select: Callable[[], AppTest]) -> None:
    page = saved_tab(picked(select(), 1, "Never select"))
    page = opened(page, "Overview")
    assert saved_as(page, "without").picks == (Pick(example_of(1), False),)
    page = shown(page, "Picks").number_input(key="example").set_value(9999).run()
    assert not page.exception
    assert "has no row 9,999" in page.error[0].value.replace("\\", "")


def test_a_row_beside_the_cut_can_be_picked(select: Callable[[], AppTest]) -> None:
    page = shown(select(), "At the cut")
    page = healthy(page.number_input(key="example").set_value(7).run())
    page = choice(page, f"pick_{example_of(7)}", "Always select")
    assert "Selected by hand: 1 of these rows" in text_of(page)


def test_a_loaded_recipe_brings_its_picks_and_puts_the_others_aside(select: Callable[[], AppTest]) -> None:
    select()
    save_selection(store(), "theirs", Selection("planets", picks=(Pick(example_of(5), False),)))
    page = picked(select(), 1, "Never select")
    page = shown(healthy(page.button(key="load_selection").click().run()), "Picks")
    assert saved_as(page, "loaded").picks == (Pick(example_of(5), False),)
    assert "Replaced picks: 1." in text_of(page)
    page = healthy(page.button(key="picks_restore").click().run())
    assert saved_as(page, "both").picks == (Pick(example_of(5), False), Pick(example_of(1), False))


def test_all_picks_are_removed_and_brought_back(select: Callable[[], AppTest]) -> None:
    page = healthy(picked(select(), 1, "Never select").button(key="picks_remove").click().run())
    assert saved_as(page, "plain").picks == ()
    page = healthy(page.button(key="picks_restore").click().run())
    assert saved_as(page, "picked").picks == (Pick(example_of(1), False),)


def test_one_persons_picks_are_not_anothers(select: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch) -> None:
    picked(select(), 1, "Never select")
    monkeypatch.setattr("ui.kit.draft_state.visitor", lambda: Visitor(Role.RUN, "anne@example.org"))
    assert saved_as(select(), "other").picks == ()


# Saved selections


def two_saved(select: Callable[[], AppTest]) -> AppTest:
    select()
    save_selection(store(), "a", Selection("planets", amount=Amount("ratio", 0.1)))
    save_selection(store(), "b", Selection("planets", amount=Amount("ratio", 0.2)))
    return saved_tab(select())


def test_nothing_saved_says_what_to_do(select: Callable[[], AppTest]) -> None:
    assert "No saved selection yet" in saved_tab(select()).info[0].value


def test_saved_selections_are_listed_renamed_and_duplicated(select: Callable[[], AppTest]) -> None:
    page = two_saved(select)
    assert page.dataframe[0].value[["Name", "Rows"]].values.tolist() == [["b", 31], ["a", 15]]
    page.selectbox(key="manage_selection").set_value("a")
    page = healthy(page.text_input(key="manage_name").set_value("alpha").run())
    page = healthy(page.button(key="selection_rename").click().run())
    page = healthy(page.button(key="selection_duplicate").click().run())
    assert sorted(saved_selection_names(store())) == ["alpha", "alpha copy", "b"]
    assert page.selectbox(key="manage_selection").value == "alpha copy"


def test_a_name_that_is_taken_is_refused_when_renaming(select: Callable[[], AppTest]) -> None:
    page = two_saved(select)
    page = page.text_input(key="manage_name").set_value("a").run().button(key="selection_rename").click().run()
    assert not page.exception
    assert "exists already" in page.error[0].value.replace("\\", "")


def test_a_deleted_selection_can_be_brought_back_until_something_else_is_done(select: Callable[[], AppTest]) -> None:
    page = healthy(two_saved(select).button(key="selection_delete").click().run())
    assert saved_selection_names(store()) == ["a"]
    page = healthy(page.button(key="selection_undo").click().run())
    assert sorted(saved_selection_names(store())) == ["a", "b"]
    page = healthy(page.button(key="selection_delete").click().run())
    page = healthy(page.button(key="selection_duplicate").click().run())
    assert not [button for button in page.button if button.key == "selection_undo"]


def test_a_saved_selection_is_loaded_into_the_form(select: Callable[[], AppTest]) -> None:
    page = healthy(two_saved(select).button(key="selection_load").click().run())
    assert page.slider(key="recipe_all_ratio").value == 20.0
    assert metrics(page)[0] == "31"


def test_two_saved_selections_are_compared_by_rows(select: Callable[[], AppTest]) -> None:
    page = two_saved(select)
    counts = next(frame.value for frame in page.dataframe if "Rows in both" in frame.value)
    assert counts["Rows in both"].tolist() == [10, 5, 15]
    assert counts["Only in A"].tolist() == [10, 6, 16]
    rows = page.dataframe[-1].value
    assert len(rows) == 16
    assert set(rows["Why not in B"]) == {"below the cut"}
    page = choice(page, "compared_part", "only_second")
    assert "No rows." in text_of(page)
    page = choice(page, "compared_part", "both")
    page = healthy(page.number_input(key="compared_row").set_value(1).run())
    assert any("chat 0" in code.value for code in page.code)


def test_moving_a_slider_asks_the_store_nothing_twice(
    select: Callable[[], AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("rows", "frame"):
        ask = getattr(Store, name)

        def noted(
            store: Store, sql: str, parameters: Sequence[object] = (), ask: Callable[..., object] = ask
        ) -> object:
            asked.append(f"{sql} {parameters}")
            return ask(store, sql, parameters)

        monkeypatch.setattr(Store, name, noted)
    page = select()
    opening = {sql for sql in asked if "FROM scored_1" in sql}
    asked.clear()
    healthy(page.slider(key="recipe_all_ratio").set_value(20.0).run())
    large = [sql for sql in asked if "FROM scored_1" in sql]
    assert len(large) == len(set(large))
    assert set(large) <= opening  # of which the store holds the answers


def test_text_of_the_dataset_is_never_markdown(page_workspace: Path) -> None:
    rows = [ScoredRecord(HOSTILE, 1.0, 0.5, response=HOSTILE), ScoredRecord(HOSTILE, 1.0, 0.4, response="b")]
    opened = build_scored_store(page_workspace, rows)
    save_selection(opened, HOSTILE, Selection("planets", amount=Amount("ratio", 1.0)))
    opened.close()
    page = healthy(AppTest.from_file(str(PAGE), default_timeout=30).run())
    assert all(HOSTILE not in element.value for kind in (page.markdown, page.caption) for element in kind)
    assert all(HOSTILE not in slider.label for slider in page.slider)
