"""How long a slider takes from the key to the new pixels, in a real browser, beside a bare Streamlit page.

    python -m bench.slider_latency --workspace DIR [--moves 40] [--json FILE]

Serves the workspace, opens Curate in Debian's chromium, and moves the slider for all domains by a key press. The clock
runs in the page: from the key's own event to the second frame after the number of rows selected has changed, and to the
last change of the page. Then the same on `bench/bare_slider.py`, a page of one slider and one figure.
A 95th percentile of the first over twice the bare page's is marked.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.figures import keep_figures
from tests.browser.dashboard import CHROMIUM, FLAGS, Dashboard

LIMIT_RATIO = 2.0
_BARE = Path(__file__).with_name("bare_slider.py")
WARM_UP = 3
"""Moves before those that are timed."""
# A frame is on the screen when the one after it begins. The page is at rest when nothing changed for this long.
_QUIET_MILLISECONDS = 400
_WATCH = """
    async ([said_by, starts, quiet]) => {
        const said = () => document.querySelector(said_by)?.innerText;
        const before = said();
        const [start] = await new Promise(begun => document.addEventListener(
            starts, event => begun([event.timeStamp]), {once: true, capture: true}));
        return await new Promise(done => {
            let shown = null, last = null;
            const look = () => {
                const now = performance.now();
                if (shown === null && said() !== before) {
                    shown = 0;
                    requestAnimationFrame(() => requestAnimationFrame(time => { shown = time - start; }));
                }
                last = now;
            };
            const observer = new MutationObserver(look);
            observer.observe(document.querySelector('.stMain'),
                {subtree: true, childList: true, characterData: true, attributes: true});
            const rest = () => {
                if ((shown && performance.now() - last > quiet) || performance.now() - start > 20000) {
                    observer.disconnect();
                    done([shown || 20000, last - start]);
                } else { setTimeout(rest, 50); }
            };
            rest();
        });
    }
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the person's event to the new figures on the screen (p50, p95), and until nothing changed."""

    moves: int
    shown_p50: float
    shown_p95: float
    at_rest_p50: float
    at_rest_p95: float


def slider_latency(page: Page, address: str, moves: int = 40) -> Latency:
    """Open a page and move its first slider so many times, there and back, one after the other."""
    page.goto(address)
    page.locator(".st-key-result").get_by_test_id("stMetric").first.wait_for(timeout=120_000)
    page.wait_for_load_state("networkidle")
    slider = page.get_by_role("slider").first
    slider.focus()
    figure = '.st-key-result [data-testid="stMetricValue"]'
    return latency(
        page, figure, "keydown", lambda move: slider.press("ArrowRight" if move % 20 < 10 else "ArrowLeft"), moves
    )


def latency(page: Page, figure: str, starts: str, act: Callable[[int], None], moves: int) -> Latency:
    """Act so many times (`act` is given the number of the move), each from its event `starts` until the text of the
    element that the selector `figure` finds is another one."""
    times = []
    for number in range(WARM_UP + moves):
        page.evaluate(f"told => void (window.moved = ({_WATCH})(told))", [figure, starts, _QUIET_MILLISECONDS])
        act(number)
        times.append(page.evaluate("window.moved"))
    shown, at_rest = zip(*times[WARM_UP:], strict=True)
    figures = [at for part in (shown, at_rest) for at in (statistics.median(part), percentile(part, 0.95))]
    return Latency(moves, *(round(figure, 1) for figure in figures))


def percentile(values: tuple[float, ...] | list[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def measure(workspace: Path, moves: int = 40) -> dict[str, Latency]:
    """Curate of the workspace, and the bare page."""
    curate, bare = Dashboard(workspace.resolve()), Dashboard(workspace.resolve())
    bare.command = (sys.executable, "-m", "streamlit", "run", str(_BARE), "--server.headless", "true")
    found = {}
    for name, served, path in (("Curate", curate, "/curate"), ("bare page", bare, "")):
        with page_of(served) as page:
            found[name] = slider_latency(page, served.address + path, moves)
    return found


@contextmanager
def page_of(served: Dashboard, height: int = 900) -> Iterator[Page]:
    """An empty page of so many pixels in a browser, while the dashboard is served."""
    served.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield browser.new_context(viewport={"width": 1440, "height": height}).new_page()
            browser.close()
    finally:
        served.stop()


def print_latencies(what: str, found: dict[str, Latency]) -> None:
    """A table of the pages' figures."""
    for moves in {times.moves for times in found.values()}:
        print(f"{f'{moves} {what} [ms]':30}   on the screen p50, p95   page at rest p50, p95")
    for name, times in found.items():
        shown = f"{times.shown_p50:6.0f} {times.shown_p95:5.0f}"
        print(f"{name:30} {shown:>24} {times.at_rest_p50:17.0f} {times.at_rest_p95:5.0f}")


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--json", type=Path, help="file for the same numbers")
    arguments = parser.parse_args()
    found = measure(arguments.workspace, arguments.moves)
    print_latencies("moves of a slider", found)
    ratio = found["Curate"].shown_p95 / found["bare page"].shown_p95
    print(f"Curate over the bare page, p95: {ratio:.2f}" + (f"  over {LIMIT_RATIO:g}" if ratio > LIMIT_RATIO else ""))
    keep_figures(arguments.json, {name: asdict(times) for name, times in found.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
