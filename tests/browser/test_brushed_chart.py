"""A chart under a real mouse: what a drag selects, how the brush is cleared and kept, and the picture that is saved."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from core.store import Store
from tests.browser.dashboard import Dashboard
from tests.core.scored_rows import ScoredRow, add_scored_run
from tests.waiting import wait_for

pytestmark = pytest.mark.browser

ROWS = 400
RUNS = ("first", "second", "third", "fourth", "fifth")
RANDOM = np.random.default_rng(11)
BASE, SHARE = RANDOM.uniform(5, 50, ROWS), RANDOM.uniform(0.1, 0.9, ROWS)
DRAWN = """chart => chart.layout && [
    (chart.layout.selections || []).length,
    (chart.layout.shapes || []).filter(shape => shape.name === 'brush').length,
]"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Dashboard]:
    """A dashboard on `ROWS` scored rows in two domains, under each name of `RUNS`."""
    workspace = tmp_path_factory.mktemp("brushed") / "workspace"
    rows = [
        ScoredRow(("chat", "math")[number % 2], float(base), float(base * share), 10)
        for number, (base, share) in enumerate(zip(BASE, SHARE, strict=True))
    ]
    with Store.open(workspace, "a test") as store:
        add_scored_run(store, rows, RUNS[0])
        roles = store.loss_sets(store.run(RUNS[0])["run_id"])
        for run in RUNS[1:]:
            store.save_run(run, "data", roles, {})
    dashboard = Dashboard(workspace)
    dashboard.start()
    yield dashboard
    dashboard.stop()


@pytest.fixture(scope="module")
def unseen_runs() -> Iterator[str]:
    """Names of runs without a draft: a brush is kept with its run."""
    return iter(RUNS)


@pytest.fixture
def distribution(served: Dashboard, unseen_runs: Iterator[str], open_page: Callable[[str], Page]) -> Page:
    """The page that shows the distribution of a run which no test saw before, drawn."""
    page = open_page(f"{served.address}/explore?view=Distribution&run={next(unseen_runs)}")
    expect_rows(page, ROWS)
    expect(plot(page)).to_be_visible()
    return page


def plot(page: Page) -> Locator:
    return page.locator(".st-key-distribution .nsewdrag").first


def expect_rows(page: Page, rows: int) -> None:
    expect(page.get_by_text(re.compile(rf"^{rows:,} of {ROWS:,} rows"))).to_be_visible()


def expect_drawn(page: Page, *, own: int, shapes: int) -> None:
    """How many brushes plotly itself draws, and how many our figure holds."""
    chart = page.locator(".st-key-distribution .js-plotly-plot").first
    wait_for(lambda: chart.evaluate(DRAWN) == [own, shapes], "the brush on the chart")


def point(page: Page, share: float) -> tuple[float, float]:
    plot(page).scroll_into_view_if_needed()
    box = plot(page).bounding_box()
    assert box is not None
    return box["x"] + box["width"] * share, box["y"] + box["height"] / 2


def drag(page: Page, start: float, end: float) -> None:
    """A drag over the plot, from one share of its width to another, once nothing takes the plot's place."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.mouse.move(*point(page, start))
    page.mouse.down()
    page.mouse.move(*point(page, end), steps=8)
    page.mouse.up()


def brushed_rows(page: Page) -> int:
    """The rows in the range that the address holds, counted by hand."""
    page.wait_for_url(re.compile("filter="))
    ((column, low, high),) = json.loads(parse_qs(urlsplit(page.url).query)["filter"][0])["ranges"]
    assert column == "learnability"
    learnability = 1 - SHARE
    return int(((learnability >= low) & (learnability <= high)).sum())


def test_a_drag_selects_rows_and_a_double_click_or_a_chip_takes_the_brush_away(distribution: Page) -> None:
    page = distribution
    drag(page, 0.7, 0.3)
    rows = brushed_rows(page)
    assert 0.3 * ROWS < rows < 0.5 * ROWS
    expect_rows(page, rows)
    expect_drawn(page, own=1, shapes=0)
    page.mouse.dblclick(*point(page, 0.9))
    expect_rows(page, ROWS)
    expect_drawn(page, own=0, shapes=0)
    page.wait_for_url(lambda address: "filter=" not in address)
    drag(page, 0.2, 0.5)
    expect_rows(page, brushed_rows(page))
    expect_drawn(page, own=1, shapes=0)
    page.get_by_role("button", name=re.compile("^Learnability ")).click()
    expect_rows(page, ROWS)
    expect_drawn(page, own=0, shapes=0)


def test_a_link_shows_its_brush_which_a_chip_or_another_drag_replaces(distribution: Page) -> None:
    page = distribution
    drag(page, 0.2, 0.5)
    rows = brushed_rows(page)
    expect_rows(page, rows)
    page.reload()
    expect_rows(page, rows)
    expect_drawn(page, own=0, shapes=1)
    before = page.url
    drag(page, 0.6, 0.7)
    page.wait_for_url(lambda address: address != before)
    expect_rows(page, brushed_rows(page))
    expect_drawn(page, own=0, shapes=1)
    page.get_by_role("button", name=re.compile("^Learnability ")).click()
    expect_rows(page, ROWS)
    expect_drawn(page, own=0, shapes=0)


def test_the_brush_stays_when_the_kind_of_chart_changes(distribution: Page) -> None:
    page = distribution
    drag(page, 0.2, 0.5)
    rows = brushed_rows(page)
    expect_rows(page, rows)
    page.get_by_text("Ridgeline", exact=True).click()
    expect_drawn(page, own=0, shapes=1)
    expect_rows(page, rows)


def test_selecting_can_be_taken_up_again_after_zooming(distribution: Page) -> None:
    page = distribution
    chart = page.locator(".st-key-distribution")
    plot(page).hover()
    chart.locator('[data-title="Zoom"]').click()
    chart.locator('[data-title="Box Select"]').click()
    drag(page, 0.2, 0.5)
    expect_rows(page, brushed_rows(page))


def test_the_picture_and_the_numbers_can_be_taken_along(distribution: Page, tmp_path: Path) -> None:
    page = distribution
    page.get_by_text("Chart data").click()
    page.get_by_text("SVG", exact=True).click()
    camera = page.locator('.st-key-distribution .modebar-btn[data-title="Download plot"]')
    expect(camera).to_have_count(1)
    plot(page).hover()
    with page.expect_download() as download:
        camera.click()
    assert download.value.suggested_filename == "learnability-histogram.svg"
    download.value.save_as(tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").read_text().startswith("<svg")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(tmp_path / "numbers.csv")
    lines = (tmp_path / "numbers.csv").read_text().splitlines()
    assert lines[0] == "domain,bin_low,bin_high,rows,share_low,share_high"
    assert sum(int(line.split(",")[3]) for line in lines[1:]) == ROWS
