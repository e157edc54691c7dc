"""Looking closer, in a real browser: brushes against SQL, a link that reopens the view, a row's tokens, two runs."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pandas as pd
import pytest
from playwright.sync_api import Error, Page, expect

from core.data.examples import Example, Message
from core.data.filters import RowFilter
from core.store import Store
from tests.browser.dashboard import Dashboard
from tests.core.scored_models import score_examples
from tests.waiting import wait_for

pytestmark = pytest.mark.browser
ROWS = 60
HOSTILE = "<img src=http://example.invalid/x.png><script>document.title='taken'</script> ![x](http://example.invalid/y)"


EXAMPLES = [
    Example((Message("user", f"What is {number} apples?"), Message("assistant", "It is a river. " * (number % 7 + 1))))
    for number in range(ROWS - 1)
] + [Example((Message("user", HOSTILE), Message("assistant", HOSTILE)))]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path) -> Path:
    """Rows that two real tiny models scored, each way round in a run of its own."""
    workspace = tmp_path_factory.mktemp("linked") / "workspace"
    with Store.open(workspace, "a test") as store:
        score_examples(store, EXAMPLES, tiny_base, tiny_reference, run="one way")
        score_examples(store, EXAMPLES, tiny_reference, tiny_base, run="other way")
    return workspace


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, workspace: Path) -> Iterator[Store]:
    """A store of the same rows that the test may ask: a store has one owner."""
    copy = tmp_path_factory.mktemp("asked") / "workspace"
    with Store.open(shutil.copytree(workspace, copy), "a test") as store:
        yield store


@pytest.fixture(scope="module")
def served(workspace: Path, scored: Store) -> Iterator[Dashboard]:
    """A dashboard on these rows, started once they were copied."""
    dashboard = Dashboard(workspace)
    dashboard.environment = {"OMP_NUM_THREADS": "1"}
    dashboard.start()
    yield dashboard
    dashboard.stop()


def passing(store: Store, address: str) -> pd.DataFrame:
    """The rows that pass the filter of an address, best first, as SQL finds them."""
    fields = json.loads(parse_qs(urlparse(address).query)["filter"][0])
    condition, values = RowFilter.from_fields(fields).where()
    return store.frame(
        f"SELECT row_number, token_count FROM scored_1 WHERE {condition} "
        "ORDER BY learnability DESC NULLS LAST, example_id, row_number",
        values,
    )


def drag(page: Page, chart: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag over a chart, from and to shares of its plot's width and height."""
    plot = page.locator(f".st-key-{chart} .nsewdrag").first

    def place() -> dict[str, float] | None:
        """Where the plot is: nowhere while a chart takes another's place."""
        try:
            plot.scroll_into_view_if_needed(timeout=1_000)
            return plot.bounding_box()
        except Error:
            return None

    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    box = wait_for(place, f"the chart {chart}")
    corners = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=8)
    page.mouse.up()


def test_brushes_add_up_and_agree_with_sql_and_a_reload_keeps_them(
    served: Dashboard, scored: Store, open_page: Callable[[str], Page]
) -> None:
    page = open_page(f"{served.address}/explore?run=one+way&view=Distribution")
    expect(page.get_by_text(f"{ROWS} of {ROWS} rows")).to_be_visible()

    drag(page, "distribution", (0.3, 0.5), (0.8, 0.5))
    page.wait_for_url(re.compile("filter="))
    once = passing(scored, page.url)
    assert 0 < len(once) < ROWS
    expect(page.get_by_text(f"{len(once)} of {ROWS} rows")).to_be_visible()

    page.get_by_role("tab", name="Overview").click()
    page.wait_for_url(lambda address: "view=" not in address)
    before = page.url
    drag(page, "linked_plane", (0.5, 0.98), (0.92, 0.02))
    page.wait_for_url(lambda address: address != before)
    twice = passing(scored, page.url)
    assert 0 < len(twice) < len(once)
    counted = f"{len(twice)} of {ROWS} rows, {twice['token_count'].sum():,} of"
    expect(page.get_by_text(counted)).to_be_visible()
    expect(page.get_by_text(f"Rows 1 to {min(10, len(twice))} of {len(twice)}.")).to_be_visible()
    first_row = page.get_by_test_id("glide-cell-1-0").first
    expect(first_row).to_have_text(str(twice["row_number"][0]))
    chips = page.get_by_role("button", name=re.compile("Learnability .* to|Base loss .* to|Reference loss .* to"))
    expect(chips).to_have_count(3)

    page.reload()
    expect(page.get_by_text(counted)).to_be_visible()
    page.get_by_role("button", name="Use as selection filter").click()
    carried = page.locator(".st-key-controls").get_by_role("button", name=re.compile("Reference loss"))
    expect(carried).to_be_visible()


def test_a_row_opens_with_its_tokens_and_its_text_stays_text(
    served: Dashboard, open_page: Callable[[str], Page]
) -> None:
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served.address}/explore?run=one+way&example={ROWS}")
    panel = page.locator(".st-key-row_panel")
    expect(panel.get_by_text(f"Row {ROWS}", exact=True)).to_be_visible()
    panel.get_by_role("button", name="Show tokens").click()
    tokens = page.locator(".lobass-tokens")
    expect(tokens).to_be_visible()
    expect(tokens).to_contain_text("<img src=http://example.invalid/x.png>")
    assert page.title() != "taken"
    assert {urlparse(address).hostname for address in asked} <= {"127.0.0.1", None}

    number = page.get_by_role("spinbutton", name="Open row")
    number.fill("")
    number.press("Enter")
    expect(panel.get_by_text("Select a row to read it here.")).to_be_visible()
    page.wait_for_url(lambda address: "example=" not in address)


def test_two_runs_are_compared_and_the_link_opens_cold(
    served: Dashboard, scored: Store, open_page: Callable[[str], Page]
) -> None:
    page = open_page(f"{served.address}/compare?run=one+way&with=other+way&score=base_loss")
    expect(page.get_by_role("tab", name="Compare runs", selected=True)).to_be_visible()
    assert "/evidence?" in page.url
    # Base and reference changed places, so one run's base loss is the other's reference loss.
    known = scored.frame("SELECT base_loss, reference_loss FROM scored_1")
    spearman = known["base_loss"].corr(known["reference_loss"], method="spearman")
    page.get_by_text("Rank correlation (Spearman)").scroll_into_view_if_needed()
    expect(page.get_by_test_id(re.compile("glide-cell")).filter(has_text=str(spearman)[:10]).first).to_be_attached()
