"""The cut chart in a real browser: a line that is dragged, or moved by keys, selects the rows beyond it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.dashboard import Dashboard
from tests.fakes import ScoredRecord, build_scored_store

pytestmark = pytest.mark.browser
DOMAINS = ("chat", "<img src=x>")
ROWS = [
    ScoredRecord(domain, 1.0, 1 - (number % 90) / 100, 10, f"{domain} {number}")
    for domain in DOMAINS
    for number in range(200)
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard on 200 rows each of two domains, with learnability from 0.00 to 0.89, each value twice or more."""
    workspace = tmp_path_factory.mktemp("cuts") / "workspace"
    build_scored_store(workspace, ROWS).close()
    dashboard = Dashboard(workspace)
    dashboard.start()
    yield dashboard
    dashboard.stop()


def rows_beyond(workspace: Path, domain: str, score: float, tmp_path: Path) -> int:
    """Counted in SQL, in a store of the same rows, because the dashboard owns its own."""
    with build_scored_store(tmp_path / f"same {score}", ROWS) as store:
        sql = "SELECT count(*) FROM scored_1 WHERE domain = ? AND learnability >= ?::DOUBLE"
        return int(store.rows(sql, [domain, score])[0][0])


def line(page: Page, domain: str) -> Locator:
    return page.get_by_role("slider", name=f"Cut-off of {domain}")


def score_of(cut: Locator) -> float:
    return float(cut.get_attribute("aria-valuenow") or "nan")


def drag(page: Page, cut: Locator, sideways: int) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    cut.scroll_into_view_if_needed()
    box = cut.locator(".grip").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + sideways / 2, y, steps=4)
    page.mouse.move(x + sideways, y, steps=4)
    page.mouse.up()


def expect_selected(page: Page, rows: int) -> None:
    expect(
        page.get_by_text(re.compile(rf"^{rows} of 200 rows, {rows * 10:,} of 2,000 tokens(; cut .*)?$"))
    ).to_be_visible()


def test_a_dragged_cut_selects_what_sql_counts_and_moves_the_slider(
    served: Dashboard, open_page: Callable[[str], Page], tmp_path: Path
) -> None:
    page = open_page(f"{served.address}/curate")
    cut, other = line(page, "chat"), line(page, "<img src=x>")
    expect(cut).to_be_visible()
    untouched = score_of(other)
    drag(page, cut, -80)
    dragged = score_of(cut)
    rows = rows_beyond(served.workspace, "chat", dragged, tmp_path)
    expect_selected(page, rows)
    assert 12 < rows < 200
    assert score_of(cut) == dragged
    assert score_of(other) == untouched
    slider = page.get_by_test_id("stSlider").filter(has_text="chat")
    expect(slider.get_by_text(f"{rows / 2:.1f} %", exact=True)).to_be_visible()

    cut.press("Shift+ArrowLeft")
    moved = score_of(cut)
    assert moved < dragged
    expect_selected(page, rows_beyond(served.workspace, "chat", moved, tmp_path))
    cut.press("Home")
    expect_selected(page, 200)
    expect(cut).to_have_attribute("aria-valuetext", "all")
    cut.press("End")
    expect_selected(page, 0)
    expect(cut).to_have_attribute("aria-valuetext", "none")


def test_one_cut_of_all_domains_moves_their_lines_together(served: Dashboard, open_page: Callable[[str], Page]) -> None:
    page = open_page(f"{served.address}/curate")
    page.get_by_text("Ranking", exact=True).click()
    page.get_by_role("combobox", name="Scope").click()
    page.get_by_role("option", name="Across all domains").click()
    lines = page.get_by_role("slider", name="Cut-off of all domains")
    expect(lines).to_have_count(2)
    drag(page, lines.first, -60)
    first, second = (score_of(lines.nth(place)) for place in (0, 1))
    assert first == second
    share = page.get_by_test_id("stMetric").filter(has_text="Rows selected")
    expect(share).not_to_have_text(re.compile(r"^Rows selected\s*24$"))
    assert score_of(lines.first) == first
