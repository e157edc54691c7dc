"""Twenty browser sessions at once while a job runs: drafts stay apart, memory levels off, and how quick an action is.

    python -m bench.sessions [--sessions 20] [--minutes 10] [--rows 20000] [--json FILE]

Serves a workspace of synthetic rows in a temporary folder, starts a search for near duplicates over and over, and lets
each session go round the pages: it opens one, writes its own name into the draft on Select, brings up Explore's tabs.
Prints one JSON object: actions, their p50 and p95 [seconds], the server's resident memory over time [MB], and how much
it grew in the last half; exits with 1 if a draft was seen by another session.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.make_rows import DATASET, make_workspace
from core.jobs import start_worker
from core.near_duplicates.jobs import create_near_duplicate_job
from core.store import Store
from tests.browser.dashboard import CHROMIUM, FLAGS, Dashboard

PAGES = ("data", "score", "explore", "compare", "select", "export")
_SAMPLE_SECONDS = 5.0


@dataclass(slots=True)
class Measured:
    """What was seen: seconds of each action, (second, server's resident MB), and drafts that were another's."""

    seconds: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


class Session:
    """One browser session: a context of its own, and a draft that carries its name."""

    def __init__(self, browser: Browser, address: str, number: int) -> None:
        self._context: BrowserContext = browser.new_context(viewport={"width": 1440, "height": 900})
        self._context.set_default_timeout(120_000)
        self._page: Page = self._context.new_page()
        self._address, self._draft = address, f"draft of session {number}"
        self._written = False
        self._page.goto(f"{address}/data")
        self._wait()

    def act(self, choice: random.Random) -> str | None:
        """Go to a page; on Select, write the draft or read it back. Gives what is there if it is another's draft."""
        name = choice.choice(PAGES)
        self._page.get_by_test_id("stTopNavLink").filter(has_text=name.capitalize()).click()
        self._page.get_by_role("heading", name=name.capitalize(), exact=True).wait_for()
        self._wait()
        if name != "select":
            return None
        field = self._page.get_by_role("textbox", name="Search in the text")
        if not self._written:
            field.fill(self._draft)
            field.press("Enter")
            self._written = True
            self._wait()
            return None
        found = field.input_value()
        return None if found in ("", self._draft) else found

    def _wait(self) -> None:
        self._page.wait_for_function(
            "() => document.querySelector('[data-testid=\"stApp\"]')?.dataset.testScriptState === 'notRunning'"
        )


def resident_megabytes(process: int) -> float:
    """Resident memory of a process now."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


class Jobs:
    """A worker always at it: searches for near duplicates, one after another, which the dashboard takes in."""

    def __init__(self, workspace: Path) -> None:
        with Store.open(workspace, "a benchmark") as store:
            self._waiting = [create_near_duplicate_job(store, DATASET, 0.5 + number / 100) for number in range(50)]
        self._worker: subprocess.Popen[bytes] | None = None
        self.finished = 0

    def keep_going(self) -> None:
        """Start the next one if none is at it."""
        if self._worker is None or self._worker.poll() is not None:
            self.finished += self._worker is not None
            self._worker = start_worker(self._waiting.pop(0))

    def stop(self) -> None:
        """End the one that is at it."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()


def go_round(sessions: list[Session], server: int, jobs: Jobs, seconds: float) -> Measured:
    """Let the sessions act in random order for so long; the server's memory is looked at every few seconds."""
    choice, measured, began = random.Random(0), Measured(), time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        jobs.keep_going()
        if not measured.memory or now - measured.memory[-1][0] > _SAMPLE_SECONDS:
            measured.memory.append((round(now, 1), round(resident_megabytes(server), 1)))
        started = time.perf_counter()
        stranger = choice.choice(sessions).act(choice)
        measured.seconds.append(time.perf_counter() - started)
        if stranger is not None:
            measured.strangers.append(stranger)
    measured.memory.append((round(seconds, 1), round(resident_megabytes(server), 1)))
    return measured


def report(measured: Measured, sessions: int, jobs: Jobs) -> dict[str, Any]:
    """The figures as one JSON object."""
    memory = [megabytes for _, megabytes in measured.memory]
    half, thirds = len(memory) // 2, max(1, len(memory) // 4)
    quantiles = statistics.quantiles(measured.seconds, n=100)
    return {
        "sessions": sessions,
        "actions": len(measured.seconds),
        "drafts_of_others_seen": len(measured.strangers),
        "action_p50_seconds": round(quantiles[49], 3),
        "action_p95_seconds": round(quantiles[94], 3),
        "jobs_finished": jobs.finished,
        "server_megabytes": {"first": memory[0], "half way": memory[half], "last": memory[-1], "most": max(memory)},
        "growth_in_last_quarter_megabytes": round(memory[-1] - memory[-1 - thirds], 1),
        "memory": measured.memory,
    }


def run(workspace: Path, session_count: int, minutes: float, rows: int) -> dict[str, Any]:
    """The whole benchmark on a new workspace."""
    make_workspace(workspace, rows, runs=2)
    jobs = Jobs(workspace)
    dashboard = Dashboard(workspace)
    try:
        dashboard.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            sessions = [Session(browser, dashboard.address, number) for number in range(session_count)]
            return report(go_round(sessions, dashboard.process_id, jobs, 60 * minutes), session_count, jobs)
    finally:
        jobs.stop()
        dashboard.stop()


def main() -> int:
    """The command line; 1 if a session saw another's draft."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder) / "workspace", options.sessions, options.minutes, options.rows)
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text, encoding="utf-8")
    return 1 if found["drafts_of_others_seen"] else 0


if __name__ == "__main__":
    sys.exit(main())
