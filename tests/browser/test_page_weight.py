"""No view sends the browser more than 2 MB, however many rows there are: pages bin and page in SQL."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from bench.make_rows import RUNS, make_workspace
from bench.page_weight import LIMIT_BYTES, Weight, weigh_pages
from tests.browser.dashboard import Dashboard
from ui.shell.navigation import PAGES

pytestmark = pytest.mark.browser
ROWS = 20_000  # rows sent one by one would be far beyond the limit, and are quick to make


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[list[Weight]]:
    """Every page, tab and interaction of a dashboard on so many rows, weighed."""
    workspace = tmp_path_factory.mktemp("weight") / "workspace"
    make_workspace(workspace, ROWS, domains=8, runs=len(RUNS))
    dashboard = Dashboard(workspace)
    dashboard.start()
    try:
        yield list(weigh_pages(browser, dashboard.address, dashboard.process_id, reduced_motion="reduce"))
    finally:
        dashboard.stop()


def test_no_view_sends_more_than_two_megabytes(weights: list[Weight]) -> None:
    heavy = [weight for weight in weights if weight.total_bytes > LIMIT_BYTES]
    assert not heavy


def test_no_view_ends_in_an_error(weights: list[Weight]) -> None:
    assert not [weight for weight in weights if weight.error]


def test_every_page_was_weighed_and_showed_something(weights: list[Weight]) -> None:
    opened = {weight.view: weight for weight in weights if weight.action == "opened"}
    assert opened.keys() == set(PAGES)
    assert all(weight.websocket_bytes > 1_000 for weight in opened.values())
    for action in ("slider moved", "searched", "row opened"):
        assert all(weight.websocket_bytes > 1_000 for weight in weights if weight.action == action)
    assert not [weight for weight in weights if min(weight.seconds, weight.server_cpu, weight.browser_cpu) < 0]
    assert all(weight.seconds > 0 and weight.browser_cpu > 0 for weight in opened.values())
