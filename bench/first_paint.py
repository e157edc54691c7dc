"""How long until a freshly started dashboard shows its first page, against `streamlit hello` on the same machine.

    python -m bench.first_paint [--rows 1000] [--rounds 5] [--json FILE]

Each round starts ours and Streamlit's own example one after the other, each in a new process, with a new browser
context. Counted is the time from the start of the process until its first page's content can be seen: the dataset on
the Data page, the welcome of `streamlit hello`; and the part of it from the server's first answer on.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

from bench.figures import keep_figures
from bench.make_rows import DATASET, make_workspace
from tests.browser.dashboard import CHROMIUM, FLAGS, ROOT

_LONGEST_SECONDS = 120.0
_POLL_SECONDS = 0.01


def measure(rows: int, rounds: int = 5) -> dict[str, Any]:
    """Seconds of ours and of `streamlit hello`, and their ratio round by round (the aim: at most 1.5)."""
    ours: list[dict[str, float]] = []
    hello: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = Path(folder) / "workspace"
        make_workspace(workspace, rows)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(rounds):
            environment = {"LOBASS_WORKSPACE": str(workspace)}
            ours.append(_first_paint(browser, ["ui.serve"], environment, "/data", DATASET))
            hello.append(_first_paint(browser, ["streamlit", "hello"], {}, "/", "Welcome to Streamlit!"))
        browser.close()
    ratios = [mine["seconds"] / theirs["seconds"] for mine, theirs in zip(ours, hello, strict=True)]
    return {
        "rows": rows,
        "ours": ours,
        "hello": hello,
        "ratio": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
    }


def _first_paint(
    browser: Browser, module: Sequence[str], environment: dict[str, str], path: str, content: str
) -> dict[str, float]:
    port = _free_port()
    options = ["--server.port", str(port), "--server.headless", "true", "--browser.gatherUsageStats", "false"]
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", *module, *options],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(address)
        answered = time.perf_counter()
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(address + path, wait_until="commit")
        page.get_by_text(content).first.wait_for(timeout=_LONGEST_SECONDS * 1000)
        painted = time.perf_counter()
        context.close()
    finally:
        server.terminate()
        server.wait()
    return {"seconds": painted - began, "after_the_first_answer": painted - answered}


def _wait_until_it_answers(address: str) -> None:
    limit = time.perf_counter() + _LONGEST_SECONDS
    while time.perf_counter() < limit:
        try:
            with urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(_POLL_SECONDS)
    raise SystemExit(f"Nothing answers at {address}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Print the figures; with --json also write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.rounds)
    print(json.dumps(found, indent=1))
    print(f"Median {found['ratio']['median']:.2f} times the time of streamlit hello; the aim is at most 1.5.")
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
