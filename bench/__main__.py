"""Every benchmark that needs no GPU, one after another: python -m bench [--large] [--lm-eval PYTHON] [--json FILE].

Each runs in a process of its own and prints its table as it ends; --json gathers the figures. `BENCH_MODELS`, folders
parted by colons, adds real models to the demo's. With --large the store is measured at ten million rows too.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import keep_figures
from core.models.resolving import DEMO_BASE
from core.workspace.demo import DATASET

_ROOT = Path(__file__).resolve().parent.parent
_ROWS = 1_000_000
_LARGE_ROWS = 10_000_000


def main() -> None:
    """Run all; exit 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval", metavar="PYTHON", help="a Python that has lm-evaluation-harness")
    parser.add_argument("--large", action="store_true", help="the store at ten million rows too")
    parser.add_argument("--only", nargs="+", default=[], help="benchmarks whose title has one of these words")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    print(_machine(), flush=True)
    figures: dict[str, Any] = {"machine": _machine()}
    with tempfile.TemporaryDirectory() as folder:
        for title, command in benchmarks(Path(folder), arguments.lm_eval, arguments.large):
            if not arguments.only or any(word in title for word in arguments.only):
                figures[title] = _run(title, command, Path(folder) / "figures.json")
    keep_figures(arguments.json, figures)
    sys.exit(any(found is None for found in figures.values()))


def benchmarks(folder: Path, lm_eval: str | None, large: bool) -> list[tuple[str, list[str]]]:
    """Title of each, and its module with its arguments; those on a workspace come after the one that makes it."""
    harness = ["--lm-eval", lm_eval] if lm_eval else []
    rows = ["--rows", str(DATASET)]
    found = [
        ("engine, the demo's base", ["engine", "--model", str(_ROOT / DEMO_BASE), *rows, "--limit", "30", *harness])
    ]
    for model in filter(None, os.environ.get("BENCH_MODELS", "").split(":")):
        found.append((f"engine, {Path(model).name}", ["engine", "--model", model, *rows, "--limit", "8", *harness]))
    found.append(("training", ["training", *rows, "--limit", "12", "--rounds", "2"]))
    found.append(("a training and its estimate", ["training_estimate", "--rounds", "1"]))
    workspace = ["--workspace", str(folder / "million")]
    found += [
        ("a million rows", ["make_rows", "--rows", str(_ROWS), "--runs", "2", *workspace]),
        ("store", ["store_latency", *workspace]),
        ("slider in the browser", ["slider_latency", *workspace]),
        ("pages in the browser", ["page_weight", *workspace]),
        ("export", ["export_speed", "--rounds", "3", *workspace]),
        ("ingest beside a reader", ["ingest_speed", *workspace]),
        ("import", ["import_speed", "--rows", str(_ROWS), "--rounds", "1"]),
        ("near-duplicates", ["near_duplicates", *rows]),
        ("a second score", ["second_score", "--rounds", "3"]),
        ("first paint", ["first_paint", "--rounds", "5"]),
    ]
    if large:
        found.append(("store at ten million rows", ["store_latency", "--rows", str(_LARGE_ROWS)]))
    return found


def _run(title: str, command: Sequence[str], answer: Path) -> Any:
    """The figures that one benchmark writes, or None if it failed."""
    shown = [str(Path(word).relative_to(_ROOT)) if word.startswith(f"{_ROOT}/") else word for word in command]
    print(f"\n## {title}\n\n    python -m bench.{' '.join(shown)}\n", flush=True)
    answer.unlink(missing_ok=True)
    began = time.monotonic()
    module, *arguments = command
    done = subprocess.run([sys.executable, "-m", f"bench.{module}", *arguments, "--json", str(answer)], check=False)
    print(f"\n({time.monotonic() - began:.0f} s)", flush=True)
    if done.returncode:
        return None
    return json.loads(answer.read_text(encoding="utf-8"))


def _machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores ({cpu}), Python {platform.python_version()}, load before {load}"


if __name__ == "__main__":
    main()
