"""Selecting, in a real browser: a mixture with a lock, hand picks as far as the export, keys, and a filter of the
charts."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from core.store import Store
from core.system.paths import file_stem
from tests.browser.dashboard import Dashboard
from tests.fakes import ScoredRecord, add_scored_records

pytestmark = pytest.mark.browser
ROWS = [
    ScoredRecord(domain, 1.0, number / 50, 10, f"{domain} {number}")
    for domain in ("chat", "math")
    for number in range(40)
]


RUNS = ("planets", "first", "second", "third", "fourth")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard on 40 rows of chat, then 40 of math, the best of each first, in a dataset and a run of each name of
    `RUNS`."""
    workspace = tmp_path_factory.mktemp("selecting") / "workspace"
    with Store.open(workspace, "a test") as store:
        for run in RUNS:
            add_scored_records(store, ROWS, run, dataset=run)
    dashboard = Dashboard(workspace)
    dashboard.start()
    yield dashboard
    dashboard.stop()


@pytest.fixture(scope="module")
def unseen_runs() -> Iterator[str]:
    """Names of runs that no test has seen: choices are kept with the run, hand picks with the dataset."""
    return iter(RUNS)


@pytest.fixture
def run(unseen_runs: Iterator[str]) -> str:
    return next(unseen_runs)


def weight(page: Page, domain: str) -> Locator:
    return page.get_by_role("spinbutton", name=f"{domain} (%)")


def test_normalising_a_mixture_leaves_the_locked_weight(
    served: Dashboard, run: str, open_page: Callable[[str], Page]
) -> None:
    page = open_page(f"{served.address}/select?run={run}")
    page.get_by_role("radio", name="Total by weights").click()
    expect(weight(page, "chat")).to_have_value("50")
    weight(page, "math").fill("80")
    weight(page, "math").press("Enter")
    expect(page.get_by_text("add up to 130 %")).to_be_visible()
    expect(weight(page, "chat")).to_have_value("50")
    page.get_by_text("Lock").last.click()
    page.get_by_role("button", name="Normalise to 100 %").click()
    expect(weight(page, "chat")).to_have_value("20")
    expect(weight(page, "math")).to_have_value("80")
    # 6 % of 80 rows are 5, of which math gets 4.
    expect(page.get_by_text("4 of 40 rows, 40 of 400 tokens")).to_be_visible()


def test_the_figures_beside_the_data_follow_the_slider_and_stay_in_sight_while_the_controls_scroll(
    served: Dashboard, run: str, open_page: Callable[[str], Page]
) -> None:
    page = open_page(f"{served.address}/select?run={run}")
    page.set_viewport_size({"width": 1440, "height": 600})
    kept = page.get_by_test_id("stMetric").filter(has_text="Rows selected")
    share = page.get_by_test_id("stMetric").filter(has_text="of rows").get_by_test_id("stMetricValue")
    expect(kept).to_be_in_viewport()
    expect(share).to_be_visible()
    before = share.inner_text()
    slider = page.get_by_role("slider").first
    for _ in range(20):
        slider.press("ArrowRight")
    expect(share).not_to_have_text(before)
    page.get_by_role("button", name="Save selection").scroll_into_view_if_needed()
    expect(kept).to_be_in_viewport()


def test_hand_picks_reach_the_exported_file(
    served: Dashboard, run: str, open_page: Callable[[str], Page], tmp_path: Path
) -> None:
    page = open_page(f"{served.address}/select?run={run}&shown=Hand+picks")
    for row, choice in (("1", "Never select"), ("40", "Always select")):
        page.get_by_role("spinbutton", name="Open row").fill(row)
        page.get_by_role("spinbutton", name="Open row").press("Enter")
        expect(page.get_by_text(f"Pick row {row}")).to_be_visible()
        page.get_by_role("radio", name=choice).click()
        expect(page.get_by_role("radio", name=choice)).to_be_checked()
    note = page.get_by_role("textbox", name="Note")
    expect(note).to_be_enabled()
    note.fill("a rare one")
    note.press("Enter")
    expect(page.get_by_text("Selected by hand: 1 of these rows")).to_be_visible()
    page.get_by_role("textbox", name="Name").fill("by hand")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_role("button", name="Save selection").click()
    expect(page.get_by_text("Saved as")).to_be_visible()
    page.get_by_role("link", name="Export").first.click()
    expect(page.get_by_role("heading", name="Export")).to_be_visible()
    with page.expect_download():
        page.get_by_role("button", name="Export and download").click()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download file").click()
    downloading.value.save_as(tmp_path / "by-hand.jsonl")
    answers = [json.loads(line)["answer"] for line in (tmp_path / "by-hand.jsonl").read_text().splitlines()]
    assert answers == ["chat 1", "chat 39", "math 0", "math 1"]
    stem = file_stem("by hand", "export")
    manifest = json.loads((served.workspace / "exports" / f"{stem}.jsonl.manifest.json").read_text())
    assert [(pick["keep"], pick["note"]) for pick in manifest["recipe"]["picks"]] == [(False, ""), (True, "a rare one")]


def test_a_filter_of_the_charts_becomes_the_rows_that_may_be_kept(
    served: Dashboard, run: str, open_page: Callable[[str], Page]
) -> None:
    page = open_page(f"{served.address}/explore?run={run}")
    page.get_by_role("textbox", name="Search").fill("math 7")
    page.get_by_role("textbox", name="Search").press("Enter")
    page.get_by_role("button", name="Use as selection filter").click()
    expect(page.get_by_text("Only rows with: All words: math 7.")).to_be_visible()
    expect(page.get_by_text("The page's filters apply to the selection.")).to_be_visible()
    expect(page.get_by_text("math: 3 rows wanted")).to_have_count(0)
    expect(page.get_by_text("chat: no row passes the filters (2 rows requested).")).to_be_visible()


def test_keys_walk_the_rows_and_pick_them(served: Dashboard, run: str, open_page: Callable[[str], Page]) -> None:
    def press(key: str) -> None:
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        page.keyboard.press(key)

    chat = quote('{"domains":["chat"]}')
    page = open_page(f"{served.address}/curate?run={run}&filter={chat}&example=1")
    panel = page.locator(".st-key-row_panel")
    expect(panel.get_by_text("chat 0", exact=True)).to_be_visible()
    for key, said in (
        ("j", "chat 1"), ("x", "left out by hand"), ("p", "Selected by hand."), ("k", "chat 0"),
    ):  # fmt: skip
        press(key)
        expect(panel.get_by_text(said).first).to_be_visible()
    expect(page.get_by_text("Selected by hand: 1 of these rows")).to_be_visible()
