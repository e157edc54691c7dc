"""How fast JSONL is imported, against orjson alone parsing the very same lines.

    python -m bench.import_speed [--rows 1000000] [--rounds 3] [--json FILE]

Ours is a whole `python -m core import` into an empty workspace, and its own part after Python has started; orjson's is
a loop over the file's lines that parses each and lets go of it. The rounds of the two alternate.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from bench.figures import keep_figures
from bench.synthetic_text import chunk_of_rows
from core.data.examples import DatasetRow

_CHUNK_ROWS = 20_000
_DOMAINS = ["chat", "code", "math", "science"]


def write_rows(path: Path, rows: int, seed: int = 0) -> None:
    """Alpaca records of about 500 bytes, one a line, all different; two in five have an input."""
    with open(path, "wb") as file:
        for first in range(1, rows + 1, _CHUNK_ROWS):
            file.writelines(_lines(range(first, min(first + _CHUNK_ROWS, rows + 1)), seed))


def _lines(numbers: range, seed: int) -> Iterator[bytes]:
    texts = [row.example for row in chunk_of_rows(numbers, _DOMAINS, seed) if isinstance(row, DatasetRow)]
    for i, number in enumerate(numbers):
        fields = {
            "instruction": f"{texts[i].prompt} ({number})",
            "input": texts[i - 1].prompt if number % 5 < 2 else "",
            "output": f'{texts[i].response}\n\n"{texts[i - 1].response}"',
        }
        yield orjson.dumps(fields) + b"\n"


def measure(rows: int, rounds: int = 1) -> dict[str, Any]:
    """Seconds (medians of the rounds), rows a second, and peak resident memory [MB] of importing so many rows.

    `ratio` is orjson's seconds over the import's own; `command_ratio` over the whole command's, Python's start in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_rows(path, rows)
        taken = [(_orjson_seconds(path), *_import(path, Path(folder) / str(i), rows)) for i in range(rounds)]
        size = path.stat().st_size
    alone, command, own, cpu, memory = (statistics.median(values) for values in zip(*taken, strict=True))
    return {
        "rows": rows,
        "bytes": size,
        "rounds": rounds,
        "orjson_seconds": alone,
        "import_seconds": own,
        "command_seconds": command,
        "command_cpu_seconds": cpu,
        "rows_per_second": rows / own,
        "ratio": alone / own,
        "command_ratio": alone / command,
        "peak_resident_megabytes": memory,
    }


def _orjson_seconds(path: Path) -> float:
    started = time.perf_counter()
    with open(path, "rb") as file:
        for line in file:
            orjson.loads(line)
    return time.perf_counter() - started


def _import(path: Path, workspace: Path, rows: int) -> tuple[float, float, float, float]:
    """Seconds of the whole command, of its import alone and of its processors, and its peak memory [MB]."""
    code = (
        "import sys, time; from bench.peak_memory import peak_gigabytes; from core import __main__\n"
        "started = time.perf_counter(); code = 0\n"
        "try: __main__.app(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "print(time.perf_counter() - started, peak_gigabytes(), file=sys.stderr); sys.exit(code)"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "import",
        str(path),
        "--dataset",
        "d",
        "--json",
        "--workspace",
        str(workspace),
    ]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as progress:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=progress)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        progress.seek(0)
        report, said = output.read(), progress.read()
    if process.returncode or f'"rows": {rows}, "rejected": 0' not in report:
        raise RuntimeError(f"The import ended with {process.returncode}: {report!r} {said!r}")
    own, gigabytes = (float(word) for word in said.strip().splitlines()[-1].split())
    return seconds, own, usage.ru_utime + usage.ru_stime, gigabytes * 1024


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    figures = measure(arguments.rows, arguments.rounds)
    for name, value in figures.items():
        print(f"{name:26} {value:14,.3f}" if isinstance(value, float) else f"{name:26} {value:14,}")
    keep_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
