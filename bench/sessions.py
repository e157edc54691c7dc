"""Twenty people at once while a job runs: drafts stay apart, memory levels off, and how quick an action is.

    python -m bench.sessions [--sessions 20] [--browsers 4] [--minutes 10] [--think 5] [--rows 20000] [--json FILE]

Serves a workspace of synthetic rows in a temporary folder while a worker scores them with the demo's base and an
adapter. So many people have a real browser context of their own, the others talk to the server as a browser's page
does. They come one after another; from then on each thinks between actions (`--think` seconds on average), goes round
the pages, opens tabs, moves the slider, and now and then begins anew. They search Curate for words that nobody else
looks for, and see at every return whether these still stand there. An action lasts until the page is at
rest in the browser, or sent to its end; browsers, server and worker share the machine. Prints one JSON object; exits
with 1 if a draft was another's or lost, an error was shown, an action took more than a minute, or the job had ended.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from bench.figures import keep_figures
from bench.make_rows import DATASET, make_workspace
from bench.people import LONGEST_SECONDS, Person, Seen
from bench.people_by_protocol import ProtocolPerson
from bench.people_in_browsers import BrowserPerson
from core.jobs.job import Job
from core.models.resolving import DEMO_BASE
from core.scoring.planning import ScoreRequest
from core.store import Store
from core.workspace.supervisor import begin_scoring
from tests.browser.dashboard import CHROMIUM, FLAGS, ROOT, Dashboard
from tests.tiny_models import save_lora_adapter
from tests.waiting import wait_for

_SAMPLE_SECONDS = 5.0
_SAY_EVERY = 6


def begin_job(workspace: Path) -> Job:
    """Start the worker that scores all rows: half an hour for 20,000 on one core."""
    base = str(ROOT / DEMO_BASE)
    adapter = str(save_lora_adapter(workspace / "adapter", ROOT / DEMO_BASE))
    with Store.open(workspace, "a benchmark") as store:
        _, job = begin_scoring(store, ScoreRequest(DATASET, base, adapter, "scored meanwhile"))
    assert job is not None
    return job


def resident_megabytes(process: int) -> float:
    """Resident memory of a process now."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return round(int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024, 1)


def processor_seconds(process: int) -> float:
    """Processor time that a process has taken so far, in all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def watch_memory(server: int, until: float, seen: Seen) -> list[tuple[float, float]]:
    """(second, resident MB) of the server every few seconds until then; says on stderr how far things are."""
    clock = asyncio.get_running_loop().time
    began, memory = clock(), []
    while (now := clock()) < until:
        memory.append((round(now - began, 1), resident_megabytes(server)))
        if len(memory) % _SAY_EVERY == 0:
            wrong = len(seen.mixed) + len(seen.broken) + len(seen.unfinished)
            said = f"{len(seen.actions):,} actions, server {memory[-1][1]:,.0f} MB, {wrong} went wrong"
            print(f"{now - began:5.0f} s: {said}", file=sys.stderr, flush=True)
        await asyncio.sleep(min(_SAMPLE_SECONDS, max(0.0, until - clock())))
    return [*memory, (round(until - began, 1), resident_megabytes(server))]


async def people_at_it(
    dashboard: Dashboard, count: int, browsers: int, seconds: float, think_seconds: float
) -> tuple[Seen, list[tuple[float, float]]]:
    """Let so many people act for so long; what they saw, and the server's memory over that time."""
    seen, address = Seen(), dashboard.address
    async with AsyncExitStack() as closing:
        playwright = await closing.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        closing.push_async_callback(browser.close)
        people: list[Person] = [BrowserPerson(number, address, seen, browser) for number in range(browsers)]
        people += [ProtocolPerson(number, address, seen) for number in range(browsers, count)]
        for person in people:  # one after another: a browser that loads the page takes a core for seconds
            await person.begin()
        print(f"all {count} have come", file=sys.stderr, flush=True)
        until = asyncio.get_running_loop().time() + seconds
        stays = [asyncio.create_task(person.stay(until, think_seconds)) for person in people]
        memory = await watch_memory(dashboard.process_id, until, seen)
        ended, late = await asyncio.wait(stays, timeout=LONGEST_SECONDS)
        for stay in late:
            stay.cancel()
        seen.unfinished += ["cut off at the end"] * len(late)
        await asyncio.gather(*late, return_exceptions=True)
        for stay in ended:
            stay.result()  # what nobody foresaw is raised here
        for person in people:
            await person.leave()
    return seen, memory


def report(seen: Seen, memory: list[tuple[float, float]]) -> dict[str, Any]:
    """The figures: seconds of the actions, in all and by kind, and the server's memory [MB]."""
    kinds = sorted({kind for kind, _ in seen.actions})
    megabytes = [resident for _, resident in memory]
    quarter = max(1, len(megabytes) // 4)
    return {
        "actions": len(seen.actions),
        "seconds_of_an_action": {means: _spread(_seconds(seen, means)) for means in ("browser", "protocol")},
        "by_kind": {kind: _spread(_seconds(seen, kind)) for kind in kinds},
        "drafts_mixed_or_lost": seen.mixed,
        "errors_shown": sorted(set(seen.broken)),
        "unfinished": seen.unfinished,
        "server_megabytes_by_minute": megabytes[:: round(60 / _SAMPLE_SECONDS)],
        "server_megabytes_most_by_quarter": [max(megabytes[i * quarter : (i + 1) * quarter]) for i in range(4)],
    }


def _seconds(seen: Seen, beginning: str) -> list[float]:
    return [seconds for kind, seconds in seen.actions if f"{kind}:".startswith(f"{beginning}:")]


def _spread(seconds: list[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {"count": len(seconds)}
    hundredths = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"count": len(seconds), "p50": round(hundredths[49], 2), "p95": round(hundredths[94], 2)}


def run(workspace: Path, people: int, browsers: int, minutes: float, think_seconds: float, rows: int) -> dict[str, Any]:
    """The whole benchmark on a new workspace."""
    make_workspace(workspace, rows, runs=2)
    job = begin_job(workspace)
    dashboard = Dashboard(workspace)
    try:
        dashboard.start()
        print(f"{people} people for {minutes:g} minutes at {dashboard.address}", file=sys.stderr, flush=True)
        began = processor_seconds(dashboard.process_id)
        seen, memory = asyncio.run(people_at_it(dashboard, people, browsers, 60 * minutes, think_seconds))
        return {
            "people": people,
            "browsers": browsers,
            "minutes": minutes,
            "think_seconds": think_seconds,
            "rows": rows,
            **report(seen, memory),
            "server_processor_seconds": round(processor_seconds(dashboard.process_id) - began, 1),
            "job_ran_to_the_end": job.state == "running",
            "job": job.progress.sentence(),
        }
    finally:
        dashboard.stop()
        job.cancel()
        wait_for(lambda: not job.is_alive, "the worker's end")


def main() -> int:
    """The command line; 1 if something went wrong for somebody."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--browsers", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--think", type=float, default=5.0)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        browsers = min(options.browsers, options.sessions)
        found = run(workspace, options.sessions, browsers, options.minutes, options.think, options.rows)
    print(json.dumps(found, indent=1))
    keep_figures(options.json, found)
    wrong = found["drafts_mixed_or_lost"] or found["errors_shown"] or found["unfinished"]
    return int(bool(wrong) or not found["job_ran_to_the_end"])


if __name__ == "__main__":
    sys.exit(main())
