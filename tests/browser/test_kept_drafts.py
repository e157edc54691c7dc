"""A selection's draft in a real browser: reload, a second tab, and a server that is killed bring it back."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.dashboard import Dashboard
from tests.fakes import ScoredRecord, build_scored_store

pytestmark = pytest.mark.browser
ROWS = [ScoredRecord("chat", 1.0, number / 50, 10, f"chat {number}") for number in range(40)]
PICKED = "Selected by hand: 1 of these rows."


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Dashboard]:
    """A dashboard on the run "planets": 40 rows."""
    build_scored_store(tmp_path / "workspace", ROWS).close()
    dashboard = Dashboard(tmp_path / "workspace")
    dashboard.start()
    yield dashboard
    dashboard.stop()


def share(page: Page) -> Locator:
    """The share of rows of every domain [per cent]."""
    return page.get_by_role("spinbutton", name="All domains (share of rows)")


def expect_share(page: Page, per_cent: str) -> None:
    """Wait until it is there, and the page at rest: a draft is kept when the controls and the figures are drawn."""
    expect(share(page)).to_have_value(re.compile(rf"^{per_cent}(\.0)?$"))
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def set_share(page: Page, per_cent: str, rows: int) -> None:
    """Type the share, and wait until the server has counted its rows."""
    share(page).fill(per_cent)
    share(page).press("Enter")
    expect(page.get_by_text(f"{rows} of {len(ROWS)} rows,").first).to_be_visible()
    expect_share(page, per_cent)


def test_a_draft_survives_a_reload_a_second_tab_and_a_killed_server(
    served: Dashboard, open_page: Callable[[str], Page]
) -> None:
    page = open_page(f"{served.address}/curate?shown=Picks")
    page.get_by_role("spinbutton", name="Open row").fill("1")
    page.get_by_role("spinbutton", name="Open row").press("Enter")
    page.get_by_role("radio", name="Always select").click()
    expect(page.get_by_text(PICKED)).to_be_visible()
    set_share(page, "5", 2)
    set_share(page, "10", 4)
    page.reload()
    expect_share(page, "10")
    expect(page.get_by_text(PICKED)).to_be_visible()

    second = page.context.new_page()
    second.goto(f"{served.address}/curate?shown=Picks")
    expect_share(second, "10")
    second.get_by_role("button", name="Undo").click()
    expect_share(second, "5")
    expect(second.get_by_text("Draft saved.")).to_be_visible()  # by itself, also if the store is busy at first

    served.kill()
    served.start()
    third = open_page(f"{served.address}/curate?shown=Picks")
    expect_share(third, "5")
    expect(third.get_by_role("button", name="Redo")).to_be_enabled()
    expect(third.get_by_text(PICKED)).to_be_visible()
