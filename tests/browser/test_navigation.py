"""The navigation in a browser: Home at the root, old addresses, and how much a page spends above its own content."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from core.store import Store
from core.workspace.shipped_demo import open_shipped_demo
from tests.browser.dashboard import Dashboard, go_to

pytestmark = pytest.mark.browser
HIGHEST = 120
"""Pixels above a page's own content, at most."""


def test_home_opens_the_demo_at_once_and_each_page_begins_near_the_top(
    dashboard: Dashboard, open_page: Callable[[str], Page]
) -> None:
    page = open_page(dashboard.address)
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
    page.get_by_role("button", name="Open the demo").click()
    expect(page.get_by_text("1,000 of 1,000 rows")).to_be_visible()
    for name in ("Home", "Score", "Evidence"):
        go_to(page, name)
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        line = page.locator(".st-key-status_line").bounding_box()
        assert line is not None
        assert line["y"] + line["height"] <= HIGHEST


def test_an_old_address_leads_on_with_its_parameters(unserved: Dashboard, open_page: Callable[[str], Page]) -> None:
    with Store.open(unserved.workspace, "a test") as store:
        open_shipped_demo(store)
    unserved.start()
    for address in ("home", "start"):
        page = open_page(f"{unserved.address}/{address}?run=demo&flag=a&flag=b")
        expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()
        expect(page).to_have_url(f"{unserved.address}/?run=demo&flag=a&flag=b")
        assert page.get_by_text("Page not found").count() == 0
