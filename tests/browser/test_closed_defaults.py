"""What a browser sees of a closed server: it talks to nobody else, breaks without a trace, and refuses to be open."""

import sys
from collections.abc import Callable
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Page, expect

from core.store import Store
from tests.browser.dashboard import ROOT, Dashboard
from tests.core.scored_rows import ScoredRow, add_scored_run

pytestmark = pytest.mark.browser
AS_STREAMLIT = (sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"))


@pytest.fixture
def scored(unserved: Dashboard) -> Dashboard:
    """A dashboard on a scored workspace, not yet started."""
    with Store.open(unserved.workspace, "a test") as store:
        add_scored_run(store, [ScoredRow("chat", 10.0, 9.0 - number) for number in range(6)])
    return unserved


def test_a_page_that_breaks_shows_no_trace_and_asks_no_other_host(
    scored: Dashboard, open_page: Callable[[str], Page]
) -> None:
    with Store.open(scored.workspace, "a test") as store:  # damage that only `check` looks for, so the page breaks
        store.write(lambda connection: connection.execute("DROP TABLE scored_1").fetchall())
    scored.start()
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{scored.address}/explore")
    broken = page.get_by_test_id("stException")
    expect(broken).to_be_visible()
    for secret in ("Traceback", "CatalogException", "Catalog Error", "scored_1", ".py", str(ROOT)):
        assert secret not in page.content()
    assert asked
    assert {urlparse(address).hostname for address in asked} <= {"127.0.0.1", None}


@pytest.mark.parametrize(
    ("environment", "arguments"), [({}, ["--server.address", "0.0.0.0"]), ({"STREAMLIT_SERVER_ADDRESS": "::"}, [])]
)
def test_streamlit_run_beyond_loopback_shows_one_sentence_and_opens_nothing(
    unserved: Dashboard,
    open_page: Callable[[str], Page],
    environment: dict[str, str],
    arguments: list[str],
) -> None:
    unserved.command, unserved.environment = (*AS_STREAMLIT, *arguments), environment
    unserved.start()
    for path in ("", "/curate_page"):
        page = open_page(unserved.address + path)
        expect(page.get_by_text("without a login")).to_be_visible()
        assert page.get_by_test_id("stMain").get_by_role("button").count() == 0
    assert not unserved.workspace.exists()


def test_streamlit_run_by_itself_is_closed_as_well(scored: Dashboard, open_page: Callable[[str], Page]) -> None:
    scored.command = AS_STREAMLIT
    scored.start()
    page = open_page(f"{scored.address}/data")
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
    config = page.request.get(f"{scored.address}/_stcore/host-config").json()
    assert config["allowedOrigins"] is not None


def test_told_to_be_open_it_is(scored: Dashboard, open_page: Callable[[str], Page]) -> None:
    scored.command = (sys.executable, "-m", "ui.serve", "--open", "--server.address", "0.0.0.0")
    scored.start()
    page = open_page(f"{scored.address}/data")
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
