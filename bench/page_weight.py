"""How much each page sends to the browser, and how long it takes to come to rest.

    python -m bench.page_weight --workspace DIR [--json FILE] [--page NAME]...

Serves the workspace, opens every page of the dashboard in Debian's chromium, then every tab on it, then tries the
interactions of `INTERACTIONS`. Counted are the websocket's messages and every other answer, unpacked, but not
Streamlit's own assets (/static/ and the page's HTML), which are the same for any data and are cached. Exits with 1 if
anything sends more than 2 MB, or ends in an error. The CPU seconds are those of the server and of the browser's
processes: unlike the time until rest, they hardly depend on what else the machine does.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response, WebSocket, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from bench.figures import keep_figures
from tests.browser.dashboard import CHROMIUM, FLAGS, Dashboard
from ui.shell.navigation import HOME, PAGES

LIMIT_BYTES = 2_000_000
_QUIET_SECONDS = 0.25  # at rest means that nothing came for so long: widgets may answer, and so start another run
_LONGEST_SECONDS = 300.0
_WAITS_FOR_A_RUN = 3.0  # an interaction that has started no run by then was the browser's own
_POLL_MILLISECONDS = 40
_WATCH = """
    () => {
        window.watchedFrom = performance.now();
        window.lastChange = null;
        window.changes?.disconnect();
        window.changes = new MutationObserver(() => { window.lastChange = performance.now(); });
        window.changes.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
    }
"""


@dataclass(frozen=True, slots=True)
class Weight:
    """What one view, or one thing done on it, sent [bytes, unpacked], the time until rest [seconds], and the processor
    time until then [CPU seconds]. Nothing is sent where the browser has all that is needed."""

    view: str
    action: str
    websocket_bytes: int
    other_bytes: int
    seconds: float
    server_cpu: float = 0.0
    browser_cpu: float = 0.0
    error: str = ""

    @property
    def total_bytes(self) -> int:
        """Everything that carries data."""
        return self.websocket_bytes + self.other_bytes

    @property
    def is_fine(self) -> bool:
        """Whether it kept to the limit, and no error was shown."""
        return self.total_bytes <= LIMIT_BYTES and not self.error


@dataclass(frozen=True, slots=True)
class Interaction:
    """One thing that a person does on a page, on its outermost tab of that name ("" where it has none)."""

    page: str
    tab: str
    action: str
    act: Callable[[Page], None]


def _press_right(page: Page) -> None:
    page.get_by_role("slider").first.press("ArrowRight")


def _search(page: Page) -> None:
    box = page.get_by_role("textbox", name="Search")
    box.fill("otherwise")
    box.press("Enter")


def _brush(chart: str) -> Callable[[Page], None]:
    """Drag over the middle of the chart of that key."""

    def drag(page: Page) -> None:
        area = page.locator(f".st-key-{chart} .nsewdrag").first
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
        page.mouse.up()

    return drag


def _choose(option: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("radio", name=option, exact=True).click()


def _open_row(page: Page) -> None:
    field = page.get_by_role("spinbutton", name="Open row")
    field.fill("7")
    field.press("Enter")


INTERACTIONS = (
    Interaction("curate", "Overview", "slider moved", _press_right),
    Interaction("curate", "Distribution", "density", _choose("Density")),
    Interaction("curate", "Distribution", "ECDF", _choose("ECDF")),
    Interaction("curate", "Distribution", "ridgeline", _choose("Ridgeline")),
    Interaction("curate", "Distribution", "histogram brushed", _brush("distribution")),
    Interaction("curate", "Overview", "plane brushed", _brush("linked_plane")),
    # Filters stay, so what looks at all rows comes before them; the row lies over the page, so it comes last.
    Interaction("curate", "Overview", "searched", _search),
    Interaction("curate", "Overview", "row opened", _open_row),
)
"""What is tried on the pages, besides opening all their tabs. A line here adds one."""


@dataclass(eq=False)  # no slots: Playwright keeps its wrapped handlers on the object
class _Traffic:
    """What a page has received since the last `reset`."""

    websocket_bytes: int = 0
    responses: list[Response] = field(default_factory=list)
    runs_begun: int = 0
    is_running: bool = False
    last_arrival: float = 0.0

    def watch(self, page: Page) -> None:
        page.on("websocket", lambda socket: self._watch_socket(socket))
        page.on("response", self._take_response)

    def reset(self) -> None:
        self.websocket_bytes, self.responses, self.runs_begun = 0, [], 0
        self.last_arrival = time.perf_counter()

    def other_bytes(self) -> int:
        return sum(len(response.body()) for response in self.responses)

    def _watch_socket(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._take_frame)

    def _take_frame(self, payload: str | bytes) -> None:
        self.last_arrival = time.perf_counter()
        self.websocket_bytes += len(payload)
        if isinstance(payload, str):
            return
        message = ForwardMsg.FromString(payload)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.runs_begun += 1
            self.is_running = True
        elif kind == "script_finished":
            self.is_running = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN

    def _take_response(self, response: Response) -> None:
        path = urlsplit(response.url).path
        if response.request.resource_type != "document" and not path.startswith(("/static/", "/favicon")):
            self.last_arrival = time.perf_counter()
            self.responses.append(response)


class _OpenPage:
    """One page of the dashboard in the browser, weighed at every step."""

    def __init__(self, context: BrowserContext, address: str, name: str, server: int) -> None:
        self.name = name
        self._server = server
        self.page = context.new_page()
        self._address = address
        self._traffic = _Traffic()
        self._traffic.watch(self.page)

    def first_paint(self) -> Weight:
        return self._weigh(self.name, "opened", lambda page: page.goto(f"{self._address}/{self.name}"))

    def open_tabs(self, level: int = 0, path: tuple[str, ...] = ()) -> Iterator[Weight]:
        """Open every tab of a level that is not open yet, and those within each."""
        names = [tab.inner_text().strip() for tab in self._tabs(level).all()]
        for place, name in enumerate(names):
            if place:
                yield self._open_tab(level, (*path, name))
            yield from self.open_tabs(level + 1, (*path, name))

    def interact(self, interaction: Interaction) -> Weight:
        if not interaction.tab:
            return self._weigh(self.name, interaction.action, interaction.act)
        if self._tab(0, interaction.tab).get_attribute("aria-selected") != "true":
            self._open_tab(0, (interaction.tab,))
        return self._weigh(f"{self.name}: {interaction.tab}", interaction.action, interaction.act)

    def _tabs(self, level: int) -> Locator:
        """Tabs within tabs come after those around them."""
        return self.page.locator("[role=tablist]:visible").nth(level).get_by_role("tab")

    def _tab(self, level: int, name: str) -> Locator:
        return self._tabs(level).filter(has_text=re.compile(rf"^\s*{re.escape(name)}\s*$"))

    def _open_tab(self, level: int, path: tuple[str, ...]) -> Weight:
        found = self._tab(level, path[-1])
        return self._weigh(f"{self.name}: {' / '.join(path)}", "tab opened", lambda _: found.click())

    def _weigh(self, view: str, action: str, act: Callable[[Page], object]) -> Weight:
        self._traffic.reset()
        self.page.evaluate(_WATCH)
        before = _cpu_seconds(self._processes())
        started = time.perf_counter()
        act(self.page)
        at_rest = self._wait_for_rest(started)
        server, browser = self._cpu_since(before)
        return Weight(
            view,
            action,
            self._traffic.websocket_bytes,
            self._traffic.other_bytes(),
            round(at_rest - started, 2),
            round(server, 2),
            round(browser, 2),
            self._error(),
        )

    def _processes(self) -> set[int]:
        """Those of the server and of the browser."""
        return (_descendants(os.getpid()) | _descendants(self._server)) - {os.getpid()}

    def _cpu_since(self, before: dict[int, float]) -> tuple[float, float]:
        """Of the server, and of the browser [CPU seconds]. A process that has ended meanwhile counts for nothing: the
        closed page before this one has a process that may end now, with all that it used."""
        server = _descendants(self._server)
        used = {
            process: seconds - before.get(process, 0.0) for process, seconds in _cpu_seconds(self._processes()).items()
        }
        of_server = sum(seconds for process, seconds in used.items() if process in server)
        return of_server, sum(used.values()) - of_server

    def _wait_for_rest(self, started: float) -> float:
        """When the page came to rest: its script ended, its charts drawn, and nothing came after. [seconds]"""
        rest_began: float | None = None
        while True:
            self.page.wait_for_timeout(_POLL_MILLISECONDS)
            now = time.perf_counter()
            if now - started > _LONGEST_SECONDS:
                raise TimeoutError(f"The page {self.name} did not come to rest within {_LONGEST_SECONDS:g} seconds")
            if not self._is_at_rest(now - started):
                rest_began = None
                continue
            rest_began = max(rest_began or now, self._traffic.last_arrival)
            if now - rest_began > _QUIET_SECONDS:
                # Without a run, the browser drew what it had.
                return rest_began if self._traffic.runs_begun else started + self._drawn_after()

    def _is_at_rest(self, waited: float) -> bool:
        if self._traffic.is_running or (not self._traffic.runs_begun and waited < _WAITS_FOR_A_RUN):
            return False
        drawn = '() => !document.querySelector(\'[data-testid="stSkeleton"], [data-test-script-state="running"]\')'
        return bool(self.page.evaluate(drawn))

    def _drawn_after(self) -> float:
        """From the beginning until the browser's last change of the page [seconds]."""
        return float(self.page.evaluate("() => Math.max(0, (window.lastChange ?? 0) - window.watchedFrom) / 1000"))

    def _error(self) -> str:
        own = "/" if self.name == HOME else f"/{self.name}"
        if urlsplit(self.page.url).path != own:
            return f"The dashboard shows {self.page.url} instead of the page {self.name}."
        shown = self.page.get_by_test_id("stException")
        return shown.first.inner_text()[:300] if shown.count() else ""


def _descendants(process: int) -> set[int]:
    """A process and all that it has started, directly or not."""
    parents = {
        int(stat.parent.name): int(fields[1]) for stat in Path("/proc").glob("[0-9]*/stat") if (fields := _stat(stat))
    }
    found, before = {process}, set[int]()
    while found != before:
        before, found = found, found | {child for child, parent in parents.items() if parent in found}
    return found


def _cpu_seconds(processes: set[int]) -> dict[int, float]:
    """What each process that runs has used itself."""
    ticks = os.sysconf("SC_CLK_TCK")
    return {
        process: sum(int(field) for field in fields[11:13]) / ticks
        for process in processes
        if (fields := _stat(Path(f"/proc/{process}/stat")))
    }


def _stat(path: Path) -> list[str]:
    """The fields of a process after its name; none if it has ended."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def weigh_pages(
    browser: Browser, address: str, server: int, pages: tuple[str, ...] = PAGES, **options: Any
) -> Iterator[Weight]:
    """Every page (or only `pages`), opened cold, its tabs and its interactions, one by one. `server`: its process;
    `options`: of the browser's context."""
    with _open_context(browser, **options) as context:
        # Not counted: the server imports what pages need, and the browser fetches its assets.
        _OpenPage(context, address, "data", server).first_paint()
        for name in pages:
            opened = _OpenPage(context, address, name, server)
            yield opened.first_paint()
            yield from opened.open_tabs()
            for interaction in INTERACTIONS:
                if interaction.page == name:
                    yield opened.interact(interaction)
            opened.page.close()


@contextmanager
def _open_context(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
    context.set_default_timeout(180_000)
    yield context
    context.close()


def main() -> int:
    """Print a line a view, as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="file for the same numbers")
    parser.add_argument("--page", action="append", default=None, help="only this page; may be repeated")
    arguments = parser.parse_args()
    dashboard = Dashboard(arguments.workspace.resolve())
    dashboard.start()
    sizes, times = f"{'websocket kB':>12} {'other kB':>9}", f"{'seconds':>8} {'server CPU':>11} {'browser':>8}"
    print(f"{'view':42} {'action':17} {sizes} {times}")
    weights: list[Weight] = []
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for weight in weigh_pages(browser, dashboard.address, dashboard.process_id, tuple(arguments.page or PAGES)):
                weights.append(weight)
                print(_line(weight), flush=True)
            browser.close()
    finally:
        dashboard.stop()
    keep_figures(arguments.json, [asdict(weight) for weight in weights])
    return 0 if all(weight.is_fine for weight in weights) else 1


def _line(weight: Weight) -> str:
    problem = "" if weight.is_fine else f"  {weight.error or f'over {LIMIT_BYTES / 1e6:g} MB'}"
    sizes = f"{weight.websocket_bytes / 1e3:12,.0f} {weight.other_bytes / 1e3:9,.0f}"
    times = f"{weight.seconds:8.2f} {weight.server_cpu:11.2f} {weight.browser_cpu:8.2f}"
    return f"{weight.view:42} {weight.action:17} {sizes} {times}{problem}"


if __name__ == "__main__":
    sys.exit(main())
