"""How long a slider takes from the key to the new pixels, in a real browser.

    python -m bench.slider_latency --workspace DIR [--moves 40] [--json FILE]

Serves the workspace, opens Select in Debian's chromium, and moves the slider for all domains by a key press. The clock
runs in the page: from the key's own event to the second frame after the readouts beside it (rows and tokens kept) have
changed, and to the last change of the page. A 95th percentile of the first over the limit is marked.
"""

import argparse
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.figures import keep_figures
from tests.browser.dashboard import CHROMIUM, FLAGS, Dashboard

LIMIT_MILLISECONDS = 300.0
_WARM_UP = 3
# A frame is on the screen when the one after it begins. The page is at rest when nothing changed for this long.
_QUIET_MILLISECONDS = 400
_WATCH = """
    async (quiet) => {
        const watched = document.querySelector('.st-key-result');
        const said = () => watched.innerText.split('What is kept')[1].split('%')[0];
        const before = said();
        const [start] = await new Promise(begun => document.addEventListener(
            'keydown', event => begun([event.timeStamp]), {once: true, capture: true}));
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
class SliderLatency:
    """Milliseconds from the key: to the new figures on the screen (p50, p95), and until nothing changed any more."""

    moves: int
    shown_p50: float
    shown_p95: float
    at_rest_p50: float
    at_rest_p95: float


def slider_latency(page: Page, address: str, moves: int = 40) -> SliderLatency:
    """Open Curate and move its first slider so many times, there and back, one after the other."""
    page.goto(f"{address}/curate")
    page.locator(".st-key-result").get_by_test_id("stMetric").first.wait_for(timeout=120_000)
    page.wait_for_load_state("networkidle")
    slider = page.get_by_role("slider").first
    slider.focus()
    times = []
    for number in range(_WARM_UP + moves):
        page.evaluate(f"void (window.moved = ({_WATCH})({_QUIET_MILLISECONDS}))")
        slider.press("ArrowRight" if number % 20 < 10 else "ArrowLeft")
        times.append(page.evaluate("window.moved"))
    shown, at_rest = zip(*times[_WARM_UP:], strict=True)
    figures = [at for part in (shown, at_rest) for at in (statistics.median(part), percentile(part, 0.95))]
    return SliderLatency(moves, *(round(figure, 1) for figure in figures))


def percentile(values: tuple[float, ...] | list[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def measure(workspace: Path, moves: int = 40) -> SliderLatency:
    """Serve the workspace and measure its Curate page."""
    dashboard = Dashboard(workspace.resolve())
    dashboard.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            found = slider_latency(page, dashboard.address, moves)
            browser.close()
            return found
    finally:
        dashboard.stop()


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--json", type=Path, help="file for the same numbers")
    arguments = parser.parse_args()
    found = measure(arguments.workspace, arguments.moves)
    print(f"{found.moves} moves of the slider on Select [ms]   p50   p95")
    over = "" if found.shown_p95 < LIMIT_MILLISECONDS else f"  over the limit of {LIMIT_MILLISECONDS:g} ms"
    print(f"{'new figures on the screen':38} {found.shown_p50:6.0f} {found.shown_p95:5.0f}{over}")
    print(f"{'page at rest':38} {found.at_rest_p50:6.0f} {found.at_rest_p95:5.0f}")
    keep_figures(arguments.json, asdict(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
