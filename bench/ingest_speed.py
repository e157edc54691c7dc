"""How fast shards of losses come into a store of a million rows, while its pages are looked at.

    python -m bench.ingest_speed [--workspace DIR] [--rows 1000000] [--shards 15] [--json FILE]

DIR is a workspace of `python -m bench.make_rows`, which gets a loss set more; without it one is made for the time
being. A job's shards, written as a worker writes them with 20,000 losses each (two seconds' worth at 10,000 a second),
are ingested by `supervisor.ingest_finished_job`, one call a shard, while a thread asks what pages ask, without a pause.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.figures import keep_figures
from bench.make_rows import RUNS, make_workspace
from core.data.filters import Range, RowFilter
from core.exploring.distributions import domain_counts, flag_counts
from core.jobs.job import create_job
from core.jobs.shards import SHARD_SCHEMA, write_shard
from core.selection import Amount, Selection, select_summary
from core.store import Store
from core.workspace.supervisor import ingest_finished_job

_SHARD_ROWS = 20_000


def measure(rows: int, shards: int = 15, workspace: Path | None = None) -> dict[str, Any]:
    """Losses ingested a second (the aim: 10,000), with and without a reader, and the reader's times [seconds]."""
    with tempfile.TemporaryDirectory() as folder:
        if workspace is None:
            workspace = Path(folder) / "workspace"
            make_workspace(workspace, rows)
        with Store.open(workspace, "bench.ingest_speed") as store:
            alone, _ = _ingest(store, shards, with_reader=False)
            beside, asked = _ingest(store, shards, with_reader=True)
    rate = {way: _SHARD_ROWS / float(np.median(taken)) for way, taken in (("alone", alone), ("beside", beside))}
    return {
        "rows": rows,
        "shards": shards,
        "losses_per_second_alone": rate["alone"],
        "losses_per_second_beside_a_reader": rate["beside"],
        "slowest_shard_seconds": max(beside),
        "questions": len(asked),
        "question_p50_seconds": float(np.quantile(asked, 0.5)),
        "question_p95_seconds": float(np.quantile(asked, 0.95)),
    }


def _ingest(store: Store, shards: int, with_reader: bool) -> tuple[list[float], list[float]]:
    """Seconds of each shard, and of each question that was asked meanwhile."""
    stamp = f"ingest speed {time.time_ns()}"
    description = {
        "model_fingerprints": {"base": stamp},
        "encoding_fingerprint": stamp,
        "models": {"base": {"label": stamp}},
    }
    loss_set = store.ensure_loss_set(stamp, stamp, stamp)
    parts = [{"role": "base", "loss_set": loss_set}]
    request = {"kind": "score", "parts": parts, "description": description, "asks_base": True}
    job = create_job(store.workspace, request, {})
    sql = "SELECT example_id::VARCHAR AS example_id FROM example LIMIT ?"
    ids = store.arrow(sql, [shards * _SHARD_ROWS])["example_id"].combine_chunks()
    taken: list[float] = []
    asked: list[float] = []
    ended = threading.Event()
    reader = threading.Thread(target=_ask, args=(store, asked, ended))
    if with_reader:
        reader.start()
    for number in range(1, shards + 1):
        part = ids.slice((number - 1) * _SHARD_ROWS, _SHARD_ROWS)
        write_shard(job.folder / "shards", f"{job.shard_prefix('base')}{number:06d}", _losses(part, number))
        began = time.perf_counter()
        ingest_finished_job(store, job)
        taken.append(time.perf_counter() - began)
    ended.set()
    if with_reader:
        reader.join()
    return taken, asked


def _ask(store: Store, asked: list[float], ended: threading.Event) -> None:
    """What the pages ask, again and again, each time a little otherwise, so that nothing is remembered."""
    table = store.run(RUNS[0])["table"]
    while not ended.is_set():
        least = len(asked) / 1e4
        row_filter = RowFilter(ranges=(Range("learnability", -9.0 - least, 9.0),))
        for question in (
            lambda kept=row_filter: domain_counts(store, table, kept),
            lambda kept=row_filter: flag_counts(store, table, kept),
            lambda share=0.05 + least: select_summary(store, Selection(RUNS[0], amount=Amount("ratio", share))),
        ):
            began = time.perf_counter()
            question()
            asked.append(time.perf_counter() - began)


def _losses(ids: pa.Array, seed: int) -> pa.Table:
    count = len(ids)
    columns = {
        "example_id": ids,
        "nll_sum": np.random.default_rng(seed).gamma(4.0, 10.0, count),
        "token_count": np.full(count, 20, np.int32),
        "truncated": np.zeros(count, bool),
        "reason": pa.nulls(count, pa.string()),
        "left_out": np.zeros(count, np.float32),
        "end_nll_sum": np.full(count, 1.0),
        "end_token_count": np.full(count, 1, np.int32),
    }
    return pa.table(columns).cast(SHARD_SCHEMA)


def main() -> None:
    """Print the figures; with --json also write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.shards, arguments.workspace)
    print(json.dumps(found, indent=1))
    print(f"{found['losses_per_second_beside_a_reader']:,.0f} losses a second beside a reader; the aim is 10,000.")
    keep_figures(arguments.json, found)


if __name__ == "__main__":
    main()
