"""A report in a real browser without a network: figures are drawn, sentences are there, nothing hostile runs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from core.store import Store
from core.workspace.run_report import run_report
from tests.browser.dashboard import new_context
from tests.hostile_text import HOSTILE
from tests.reported_run import add_reported_run
from ui.report.run_report import report_html

pytestmark = pytest.mark.browser
UNDRAWN = ".chart:not(:has(.main-svg .ytick))"


@dataclass
class Opened:
    """A page without a network, and what it did: console errors, dialogs, requests."""

    page: Page
    said: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def draw(self, path: Path) -> None:
        """Open a file, and wait until all its figures are drawn."""
        # Plotly warns that it cannot set formulas: it has no MathJax, which would come from a host.
        self.page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        expect(self.page.locator(UNDRAWN)).to_have_count(0)


@pytest.fixture(params=["light", "dark"])
def opened(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Opened]:
    scheme: Literal["light", "dark"] = request.param
    context = new_context(browser, viewport={"width": 1200, "height": 900}, color_scheme=scheme, offline=True)
    yield Opened(context.new_page())
    context.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two reports: first.html, and hostile.html, where every name is hostile."""
    folder = tmp_path_factory.mktemp("reports")
    hostile = HOSTILE[1]
    with Store.open(folder / "workspace", "a test") as store:
        add_reported_run(store, folder / "models")
        (folder / "first.html").write_text(report_html(run_report(store, "first", "curated")), encoding="utf-8")
    with Store.open(folder / "another", "a test") as store:
        add_reported_run(store, folder / "more models", HOSTILE, hostile, rows=len(HOSTILE) * 6)
        (folder / "hostile.html").write_text(report_html(run_report(store, hostile, hostile)), encoding="utf-8")
    return folder


def test_figures_and_sentences_are_there_without_a_network(reports: Path, opened: Opened) -> None:
    path = reports / "first.html"
    opened.draw(path)
    page = opened.page
    expect(page.locator(".chart .main-svg").first).to_be_visible()
    assert page.locator(".chart").count() == 9
    for text in ("Is it memory?", "At 6 % two references agree on", "top at 16.7 %: better than random", "Fingerprint"):
        expect(page.get_by_text(text).first).to_be_visible()
    for title in ("Difference from random", "Held-out loss and share of rows kept", "Domain mix"):
        expect(page.locator(".gtitle", has_text=title)).to_be_visible()
    page.get_by_text("Recipe as JSON").click()
    expect(page.get_by_text('"collapse_duplicates": true').first).to_be_visible()
    assert (opened.said, opened.dialogs, opened.asked) == ([], [], [path.as_uri()])


def test_figures_take_the_colours_of_the_page_and_are_light_and_narrow_on_paper(reports: Path, opened: Opened) -> None:
    opened.draw(reports / "first.html")
    page = opened.page
    title = page.locator(".gtitle").first

    dark, light = "rgb(230, 232, 235)", "rgb(31, 35, 40)"
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    expect(title).to_have_css("fill", dark if is_dark else light)
    page.emulate_media(color_scheme="light" if is_dark else "dark")
    expect(title).to_have_css("fill", light if is_dark else dark)
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".main-svg").first).to_have_attribute("width", "660")
    expect(title).to_have_css("fill", light)
    assert opened.said == []


def test_hostile_names_are_shown_and_do_nothing(reports: Path, opened: Opened) -> None:
    path = reports / "hostile.html"
    opened.draw(path)
    page = opened.page
    assert page.evaluate("window.taken") is None
    assert (opened.said, opened.dialogs, opened.asked) == ([], [], [path.as_uri()])
    expect(page.get_by_role("heading", level=1)).to_contain_text(HOSTILE[1])
    assert page.locator("main :is(img, iframe, object, video, form, base, link, meta, a)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
