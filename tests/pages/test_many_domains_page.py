"""Pages with more domains than have room: some are drawn, the rest can be searched, and all of them count."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.filters import RowFilter
from core.selection import Amount, Selection, save_selection, saved_selection
from tests.fakes import ScoredRecord, build_scored_store
from tests.pages.amount_sliders import domain_sliders
from tests.pages.closed_parts import with_open_parts
from ui.charts import DOMAINS_DRAWN
from ui.curate.shown_domains import ALL_SHOWN, LARGEST, MOST_OF_A_KIND
from ui.kit.filter_bar import filter_chips
from ui.shell.session import open_session

PAGES = Path(__file__).parents[2] / "pages"
DOMAINS = [f"domain {number:02d}" for number in range(70)]
SMALLEST = DOMAINS[0]


@pytest.fixture(autouse=True)
def workspace(page_workspace: Path) -> Path:
    """70 domains of 2 to 4 rows, the last ones largest."""
    rows = [
        ScoredRecord(domain, 2.0, (place + each) / 100, 10, f"{domain} {each}")
        for place, domain in enumerate(DOMAINS)
        for each in range(2 + place // 30)
    ]
    with build_scored_store(page_workspace, rows) as store:
        own = {domain: Amount("ratio", 1.0) for domain in DOMAINS}
        save_selection(store, "every domain", Selection("planets", amount=Amount("ratio", 0.0), domain_amounts=own))
        weighted = Selection("planets", amount=Amount("rows", 40), weights=dict.fromkeys(DOMAINS, 1.0))
        save_selection(store, "weights", weighted)
    return page_workspace


def opened(page: str) -> AppTest:
    return healthy(with_open_parts(AppTest.from_file(str(PAGES / f"{page}_page.py"), default_timeout=60)).run())


def healthy(page: AppTest) -> AppTest:
    assert not page.exception
    assert not page.error
    return page


def loaded(name: str) -> AppTest:
    """The Select page with a saved recipe in its controls."""
    page = opened("curate")
    page = healthy(page.selectbox(key="saved_selection").set_value(name).run())
    return healthy(page.button(key="load_selection").click().run())


def saved_as(page: AppTest, name: str) -> Selection:
    page.text_input(key="selection_name").set_value(name)
    healthy(next(button for button in page.button if button.label == "Save selection").click().run())
    return saved_selection(open_session().store, name)


def with_slider(page: AppTest) -> list[str]:
    """The domains that have a slider."""
    return list(domain_sliders(page))


def captions(page: AppTest) -> str:
    return "\n".join(caption.value for caption in page.caption)


def test_select_draws_sliders_of_the_largest_domains_and_of_those_that_are_added() -> None:
    page = opened("curate")
    assert len(with_slider(page)) == LARGEST
    assert SMALLEST not in with_slider(page)
    assert f"{len(DOMAINS) - LARGEST} of 70 domains are not shown" in captions(page)
    page = healthy(page.multiselect(key="recipe_shown").set_value([SMALLEST]).run())
    assert with_slider(page)[-1] == SMALLEST
    page = healthy(domain_sliders(page)[SMALLEST].set_value(50.0).run())
    assert SMALLEST in with_slider(page)  # it has its own amount now
    assert SMALLEST not in page.multiselect(key="recipe_shown").options
    assert saved_as(page, "half").domain_amounts == {SMALLEST: Amount("ratio", 0.5)}


def test_amounts_of_domains_without_a_slider_still_apply() -> None:
    page = loaded("every domain")
    assert len(with_slider(page)) == MOST_OF_A_KIND
    assert "30 of 70 domains are not shown, 30 of them with their own" in captions(page)
    page = healthy(domain_sliders(page)[DOMAINS[-1]].set_value(0.0).run())
    recipe = saved_as(page, "all but one")
    assert recipe.domain_amounts == {domain: Amount("ratio", float(domain != DOMAINS[-1])) for domain in DOMAINS}


def test_weights_of_domains_without_a_control_still_apply() -> None:
    page = loaded("weights")
    fields = [field for field in page.number_input if str(field.key).startswith("recipe_weight_")]
    assert len(fields) == MOST_OF_A_KIND
    page = healthy(page.number_input(key=f"recipe_weight_{DOMAINS[-1]}").set_value(5.0).run())
    assert saved_as(page, "heavier").weights == dict.fromkeys(DOMAINS, 1.0) | {DOMAINS[-1]: 5.0}
    page = healthy(page.button(key="mixture_equal").click().run())
    assert set(saved_as(page, "equal").weights.values()) <= {1.4286, 1.4266}  # 100 / 70, the largest takes the rest


def drawn(page: AppTest, title: str = "Learnability by domain") -> list[str]:
    """What the chart of that title draws, by its legend."""
    charts = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    (chart,) = [chart for chart in charts if chart["layout"]["title"]["text"].startswith(title)]
    names = (trace["name"] for trace in chart["data"] if "name" in trace)  # a brush has none
    return list(dict.fromkeys(names))  # points and their mark in the legend have one name


def test_curate_draws_the_largest_domains_or_those_that_are_chosen() -> None:
    page = opened("curate")
    found = drawn(page, "Base loss against")
    assert (len(found), "62 other domains" in found) == (DOMAINS_DRAWN + 1, True)
    page.session_state["view"] = "Distribution"
    page = healthy(page.run())
    assert len(drawn(page)) == DOMAINS_DRAWN
    assert f"Charts show the {DOMAINS_DRAWN} largest of 70 domains" in captions(page)
    page = healthy(page.multiselect(key="drawn_domains").set_value([SMALLEST]).run())
    assert drawn(page) == [SMALLEST]
    assert "Charts show 1 of 70 domains" in captions(page)


def test_a_filter_that_names_all_domains_names_none_and_a_long_one_is_no_link() -> None:
    page = opened("curate")
    page = healthy(page.multiselect(key="filter_domains").set_value(DOMAINS[:3]).run())
    assert DOMAINS[2] in str(page.query_params["filter"])
    page = healthy(page.multiselect(key="filter_domains").set_value(DOMAINS).run())
    assert "filter" not in page.query_params
    assert page.multiselect(key="filter_domains").value == []


def test_a_filter_that_is_too_long_for_a_link_stays_in_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.kit.filter_state._LONGEST_LINK", 300)
    page = opened("curate")
    page = healthy(page.multiselect(key="filter_domains").set_value(DOMAINS[:60]).run())
    assert "filter" not in page.query_params
    assert len(healthy(page.run()).multiselect(key="filter_domains").value) == 60
    assert [button.label for button in page.button if str(button.key).startswith("chip_")] == ["60 domains"]


def test_many_domains_are_one_chip() -> None:
    ((label, without),) = filter_chips(RowFilter(domains=tuple(DOMAINS)))
    assert (label, without) == ("70 domains", RowFilter())


def test_a_few_domains_all_have_a_control(page_workspace: Path) -> None:
    assert len(DOMAINS) > ALL_SHOWN
    page = opened("curate")
    page = healthy(page.multiselect(key="recipe_domains").set_value(DOMAINS[:ALL_SHOWN]).run())
    assert with_slider(page) == DOMAINS[:ALL_SHOWN]
