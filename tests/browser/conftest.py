"""A dashboard on a workspace of the test's own, and a browser to look at it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.dashboard import CHROMIUM, FLAGS, Dashboard, new_context

expect.set_options(timeout=180_000)  # parts of a page come late where cores are shared; what is right waits no longer


@pytest.fixture
def unserved(tmp_path: Path) -> Iterator[Dashboard]:
    """A dashboard on an empty workspace, not started yet."""
    dashboard = Dashboard(tmp_path / "workspace")
    yield dashboard
    dashboard.stop()


@pytest.fixture
def dashboard(unserved: Dashboard) -> Dashboard:
    """A dashboard on an empty workspace."""
    unserved.start()
    return unserved


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium. Without one the tests are skipped, unless LOBASS_REQUIRE_BROWSER says they must run."""
    if not Path(CHROMIUM).exists() and not os.environ.get("LOBASS_REQUIRE_BROWSER"):
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Open an address in a fresh context, 1440 by 900, downloads accepted."""
    contexts = []

    def open_address(address: str) -> Page:
        context = new_context(browser, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        return page

    yield open_address
    for context in contexts:
        context.close()
