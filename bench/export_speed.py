"""Export of a selection of a million rows, against DuckDB's own COPY of the same records into the same format.

    python -m bench.export_speed --workspace DIR [--rounds 5] [--json FILE]

DIR is what `python -m bench.make_rows` makes; without it one of --rows rows is made for the time being. Every round
does ours and DuckDB's one after the other, on as many threads, and both flush their file to disk. The rows are chosen
before (a page or a saved selection has done that; how long it takes stands beside it), but ours looks up which they
are, takes the SHA-256 and writes the manifest. DuckDB's reads the same rows of the same table (`records`), or their
fields from columns that stand ready in memory (`columns`). Whether both wrote the same is found out in every round:
the same rows in as many bytes, Parquet's packing aside. Memory is the peak (VmHWM) of a process of its own that does
one export.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from bench.figures import keep_figures
from bench.make_rows import DATASET, RUNS, make_workspace
from bench.peak_memory import peak_gigabytes
from core.exporting import export_selection
from core.selection import Amount, Selection, select_summary
from core.store import Store

SELECTION = Selection(RUNS[0], amount=Amount("ratio", 1.0))
FORMATS = ("jsonl", "csv", "parquet")
_OPTIONS = {
    # Text as it is: a delimiter and a quote that stand in no record.
    "jsonl": "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01'",
    "csv": "FORMAT csv, FORCE_QUOTE *, HEADER",
    "parquet": "FORMAT parquet",
}
_READERS = {
    "jsonl": "read_csv('{}', header = false, columns = {{text: 'VARCHAR'}}, delim = E'\\x01', quote = '', escape = '')",
    "csv": "read_csv('{}', header = true, all_varchar = true)",
    "parquet": "read_parquet('{}')",
}
_NAMES = ("instruction", "output", "domain")


def measure(rows: int, rounds: int = 3, workspace: Path | None = None) -> dict[str, Any]:
    """Seconds of ours and of DuckDB's by format, their ratio (above 0.5 is the aim), and the peak of memory [MB].

    Without a `workspace` one of so many rows is made, and removed.
    """
    with tempfile.TemporaryDirectory(dir=workspace and workspace.parent) as folder:
        if workspace is None:
            workspace = Path(folder) / "workspace"
            make_workspace(workspace, rows)
        taken = _take_turns(workspace, Path(folder), rounds)
        peaks = {name: _peak_megabytes(workspace, Path(folder), name) for name in FORMATS}
    found: dict[str, Any] = {"rows": rows, "rounds": rounds, "choice_seconds": taken["choice"], "formats": {}}
    for name in FORMATS:
        ours, records, columns = (taken[f"{way} {name}"] for way in ("ours", "records", "columns"))
        found["formats"][name] = {
            "seconds": ours,
            "copy_of_records_seconds": records,
            "copy_of_columns_seconds": columns,
            "cpu_seconds": taken[f"ours {name} CPU"],
            "copy_of_records_cpu_seconds": taken[f"records {name} CPU"],
            "ratio": _ratio(records, ours),
            "cpu_ratio": _ratio(taken[f"records {name} CPU"], taken[f"ours {name} CPU"]),
            "ratio_to_columns": _ratio(columns, ours),
            "peak_megabytes": peaks[name],
        }
    return found


def _take_turns(workspace: Path, folder: Path, rounds: int) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        with Store.open(workspace, "bench.export_speed") as store:
            kept = store.arrow(_KEPT, [store.dataset_id(DATASET)])
            threads = int(store.rows("SELECT current_setting('threads')")[0][0])
            _time(taken, "choice", lambda store=store: select_summary(store, SELECTION))  # type: ignore[misc]
            for name in FORMATS:
                path = folder / f"ours.{name}"
                _time(taken, f"ours {name}", lambda path=path: export_selection(store, SELECTION, path))  # type: ignore[misc]
        database = str(workspace / "store.duckdb")
        with duckdb.connect(database, read_only=True, config={"threads": threads}) as connection:
            connection.register("kept_numbers", kept)
            connection.execute("CREATE TEMP TABLE kept AS FROM kept_numbers")
            records = "(SELECT decode(original) AS text FROM dataset_row SEMI JOIN kept USING (row_number))"
            paths = ", ".join(f"'$.{name}'" for name in _NAMES)
            fields = ", ".join(f"v[{place}] AS {name}" for place, name in enumerate(_NAMES, 1))
            taken_apart = f"(SELECT {fields} FROM (SELECT json_extract_string(text, [{paths}]) AS v FROM {records}))"
            connection.execute(f"CREATE TEMP TABLE columns AS FROM {taken_apart}")
            connection.execute(f"CREATE TEMP TABLE texts AS FROM {records}")
            for name in FORMATS:
                for way, source in (
                    ("records", records if name == "jsonl" else taken_apart),
                    ("columns", "texts" if name == "jsonl" else "columns"),
                ):
                    path = folder / f"{way}.{name}"
                    sql = f"COPY (FROM {source}) TO '{path}' ({_OPTIONS[name]})"
                    _time(taken, f"{way} {name}", lambda sql=sql, path=path: _copy(connection, sql, path))  # type: ignore[misc]
                    _check_same(connection, name, folder / f"ours.{name}", path)
    return taken


def _copy(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    connection.execute(sql)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _check_same(connection: duckdb.DuckDBPyConnection, name: str, ours: Path, copy: Path) -> None:
    """End with a message unless both files hold the same rows, in whatever order: COPY of a join keeps none."""
    found = []
    for path in (ours, copy):
        row = "text" if name == "jsonl" else ", ".join(_NAMES)
        rows = connection.execute(f"SELECT count(*), sum(hash({row})) FROM {_READERS[name].format(path)}").fetchall()
        found.append((rows, _bytes_of_rows(path, name)))
    if found[0] != found[1]:
        raise SystemExit(f"{ours} and {copy} do not hold the same rows: {found}.")


def _bytes_of_rows(path: Path, name: str) -> int:
    """How many bytes the rows take; of Parquet, which each writer packs as it likes, nothing is said."""
    if name == "parquet":
        return 0
    with open(path, "rb") as file:
        header = len(file.readline()) if name == "csv" else 0
    return path.stat().st_size - header


_KEPT = f"""
    SELECT row_number FROM dataset_row WHERE dataset_id = ? AND row_number IN (
        SELECT row_number FROM scored_1 WHERE {SELECTION.score} IS NOT NULL AND duplicate_of IS NULL)
"""


def _time(taken: dict[str, list[float]], name: str, act: Callable[[], object]) -> None:
    """Wall seconds; and as `name`, "CPU", those of all threads, which hardly move when the machine is busy."""
    began, used = time.perf_counter(), time.process_time()
    act()
    taken.setdefault(name, []).append(time.perf_counter() - began)
    taken.setdefault(f"{name} CPU", []).append(time.process_time() - used)


def _ratio(theirs: list[float], ours: list[float]) -> dict[str, float]:
    """DuckDB's time over ours, round by round."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def _peak_megabytes(workspace: Path, folder: Path, name: str) -> float:
    command = ["--workspace", str(workspace), "--peak-of", str(folder / f"peak.{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "bench.export_speed", *command], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def table(found: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    lines = [
        f"{found['rows']:,} rows, {found['rounds']} rounds; they are chosen in "
        f"{statistics.median(found['choice_seconds']):.2f} s. The aim is COPY / ours of at least 0.5.",
        "",
        "| format | ours, s | COPY of the records, s | COPY / ours (range) | of CPU seconds "
        "| COPY of ready columns, s | COPY / ours (range) | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, way in found["formats"].items():
        seconds, records, columns = (
            statistics.median(way[key]) for key in ("seconds", "copy_of_records_seconds", "copy_of_columns_seconds")
        )
        ratios = [f"{r['median']:.2f} ({r['lowest']:.2f}-{r['highest']:.2f})" for r in
                  (way["ratio"], way["ratio_to_columns"])]  # fmt: skip
        lines.append(
            f"| {name} | {seconds:.2f} | {records:.2f} | {ratios[0]} | {way['cpu_ratio']['median']:.2f} "
            f"| {columns:.2f} | {ratios[1]} | {way['peak_megabytes']:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; with --json also write what it was made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        with Store.open(arguments.workspace, "bench.export_speed") as store:
            export_selection(store, SELECTION, arguments.peak_of)
        print(peak_gigabytes() * 1024)
        return
    found = measure(arguments.rows, arguments.rounds, arguments.workspace)
    print(table(found))
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
