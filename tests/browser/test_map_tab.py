"""The map in a real browser: a lasso on it filters the page's counts and table as SQL does, and a reload keeps it."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page, expect

from core.data.examples import Example, Message
from core.data.filters import RowFilter
from core.store import Store
from core.workspace.mapping import begin_embedding_of_run, map_run
from tests.browser.dashboard import Dashboard
from tests.core.scored_models import score_examples
from tests.inline_executor import run_jobs_inline
from tests.trial_workspace import wait_quietly
from tests.ui.contrast import THEMES, contrast

pytestmark = pytest.mark.browser
pytest.importorskip("pacmap", reason="the extra map is not installed")

ROWS = 40
HOSTILE = "<img src=http://example.invalid/x.png>"
EXAMPLES = [
    Example(
        (Message("user", f"{HOSTILE} {number} apples?"), Message("assistant", "It is a river. " * (number % 7 + 1)))
    )
    for number in range(ROWS)
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_reference: Path) -> Path:
    """Rows that tiny models scored, embedded and mapped."""
    workspace = tmp_path_factory.mktemp("mapped") / "workspace"
    with pytest.MonkeyPatch.context() as patch, Store.open(workspace, "a test") as store:
        run_jobs_inline(patch)
        score_examples(store, EXAMPLES, tiny_base, tiny_reference)
        job = begin_embedding_of_run(store, "tiny")
        assert job
        wait_quietly(store, job)
        map_run(store, "tiny", 0, wait_quietly)
    return workspace


@pytest.fixture
def served(workspace: Path) -> Iterator[Dashboard]:
    dashboard = Dashboard(workspace)
    dashboard.environment = {"OMP_NUM_THREADS": "1"}
    dashboard.start()
    yield dashboard
    dashboard.stop()


def lasso(page: Page) -> None:
    """Draw a lasso around the left half of the map."""
    chart = page.locator(".st-key-linked_map")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    plot = chart.locator(".nsewdrag").first
    plot.scroll_into_view_if_needed()
    plot.hover()
    chart.locator('.modebar-btn[data-title="Lasso Select"]').click()
    box = plot.bounding_box()
    assert box
    corners = [(0.05, 0.05), (0.5, 0.05), (0.52, 0.5), (0.5, 0.95), (0.05, 0.95), (0.05, 0.06)]
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def test_a_lasso_on_the_map_filters_counts_and_table_and_a_reload_keeps_it(
    served: Dashboard, workspace: Path, open_page: Callable[[str], Page]
) -> None:
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served.address}/curate?run=tiny&view=Map")
    expect(page.get_by_text(f"{ROWS} of {ROWS} rows")).to_be_visible()
    lasso(page)
    page.wait_for_url(re.compile("filter="))
    fields = json.loads(parse_qs(urlparse(page.url).query)["filter"][0])
    expect(page.get_by_role("button", name="Lasso on the map")).to_be_visible()
    counted = page.get_by_text(re.compile(rf"^\d+ of {ROWS} rows, .* scored tokens$"))
    expect(counted).not_to_contain_text(f"{ROWS} of {ROWS} rows")
    found = int(counted.inner_text().split()[0])
    expect(page.get_by_text(f"Rows 1 to {min(10, found)} of {found}.")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Lasso on the map")).to_be_visible()
    expect(page.get_by_text(f"{found} of {ROWS} rows")).to_be_visible()
    assert {urlparse(address).hostname for address in asked} <= {"127.0.0.1", None}
    served.stop()
    condition, values = RowFilter.from_fields(fields).where()
    with Store.open(workspace, "a test") as store:
        inside = store.rows(f"SELECT count(*) FROM scored_1 WHERE {condition}", values)
    assert inside == [(found,)]
    assert 0 < found < ROWS


def test_the_coverage_follows_the_slider(served: Dashboard, open_page: Callable[[str], Page]) -> None:
    page = open_page(f"{served.address}/curate?run=tiny&view=Map")
    strip = page.locator(".st-key-profile").get_by_test_id("stMetric").filter(has_text="Coverage")
    value = strip.get_by_test_id("stMetricValue")
    expect(value).to_have_text(re.compile(r"^0\.\d{3}$"))
    before = value.inner_text()
    chart = page.locator(".st-key-coverage")
    expect(chart).to_contain_text("Selection")
    page.get_by_role("slider", name="All domains (share of rows)").first.focus()
    page.keyboard.press("End")
    expect(value).to_have_text("1.000")
    expect(strip).to_contain_text("random 1.000")
    assert float(before) < 1


def test_a_button_that_waits_for_a_file_can_be_read_in_both_themes(
    served: Dashboard, open_page: Callable[[str], Page]
) -> None:
    page = open_page(f"{served.address}/curate?run=tiny&view=Map")
    page.get_by_text("Embeddings: ").click()
    for theme, (background, _) in THEMES.items():
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        button = page.get_by_role("button", name="Use these vectors")
        expect(button).to_be_disabled()
        drawn = button.evaluate("button => getComputedStyle(button).color")
        assert contrast([float(part) for part in re.findall(r"[\d.]+", drawn)[:3]], background) > 4.5
