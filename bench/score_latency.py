"""How long a histogram and an amount take for every score of a run at a million rows, an imported one and a sum too.

    python -m bench.score_latency --workspace DIR [--repeats 20] [--json FILE]

The workspace is one that `bench.make_rows` made. First a column of drawn numbers is imported from Parquet by row number
and timed. Losses without prompts are drawn, so that IFD and PVI-like have values. Of each column the histogram
is asked with other bounds each time, and the selection with other amounts, as a slider does once the recipe is ranked.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.figures import keep_figures
from bench.store_latency import QueryLatency, timed
from core.data.errors import NotFound
from core.data.filters import RowFilter
from core.data.scores import scores_of
from core.exploring.distributions import histogram
from core.jobs.shards import SHARD_SCHEMA
from core.selection import Amount, ScoredRun, Selection, scored_run, select_summary
from core.store import Store, remove_imported_score
from core.store.scored_table import build_scored_table
from core.workspace.score_imports import import_scores

IMPORTED = "imported_drawn"


def measure(workspace: Path, repeats: int) -> dict[str, Any]:
    """rows, seconds and processor_seconds of the import and of building the scored table, and `queries`, the fields of
    a `QueryLatency` each."""
    with Store.open(workspace, "bench.score_latency") as store:
        name = str(store.rows("SELECT name FROM run ORDER BY run_id")[0][0])
        _draw_promptless(store, name)
        run = scored_run(store, name)
        rows = sum(count for count, _ in run.totals.values())
        imported = _timed_import(store, run.dataset, rows)
        run_id = int(store.run(name)["run_id"])
        built = _seconds(lambda: store.write(lambda connection: build_scored_table(connection, run_id)))
        run = scored_run(store, name)
        found: list[QueryLatency] = []
        for score in scores_of(run.roles):
            histogram_of = partial(_histogram, store, run, score)
            found.append(timed(f"histogram of {score}", histogram_of, repeats))
            found.append(timed(f"amount of {score}", partial(_amount, store, run, score, {}), repeats))
        both = partial(_amount, store, run, "learnability", {IMPORTED: 0.1})
        found.append(timed("amount of learnability + 0.1 imported", both, repeats))
    return {"rows": rows, "import": imported, "scored_table": built, "queries": [asdict(each) for each in found]}


def _histogram(store: Store, run: ScoredRun, score: str, draw: random.Random) -> object:
    return histogram(store, run.table, score, RowFilter(), bounds=(0.0, draw.uniform(2, 6)))


def _amount(store: Store, run: ScoredRun, score: str, added: dict[str, float], draw: random.Random) -> object:
    amount = Amount("ratio", round(draw.uniform(0.01, 0.5), 5))
    return select_summary(store, Selection(run.name, score, amount=amount, added=added), run)


def _timed_import(store: Store, dataset: str, rows: int) -> dict[str, float]:
    with suppress(NotFound):
        remove_imported_score(store, dataset, IMPORTED)
    with tempfile.TemporaryDirectory(prefix="score_latency_") as folder:
        path = Path(folder) / "drawn.parquet"
        table = pa.table({"row_number": np.arange(1, rows + 1), "drawn": np.random.default_rng(0).normal(size=rows)})
        pq.write_table(table, path)
        return _seconds(lambda: import_scores(store, dataset, path, "row"))


def _draw_promptless(store: Store, run: str) -> None:
    """Losses without prompts: those of the run times a drawn factor."""
    found, random_factor = store.run(run), np.random.default_rng(1)
    for role in ("base", "reference"):
        if f"{role}_alone" in found["loss_sets"]:
            continue
        sql = "SELECT * EXCLUDE (loss_set_id) FROM loss WHERE loss_set_id = ?"
        losses = store.arrow(sql, [found["loss_sets"][role]])
        nats = losses["nll_sum"].to_numpy() * random_factor.uniform(0.9, 2.0, losses.num_rows)
        place = losses.schema.get_field_index("nll_sum")
        ids = losses["example_id"].cast(pa.string())
        losses = losses.set_column(place, "nll_sum", pa.array(nats, from_pandas=True)).set_column(0, "example_id", ids)
        loss_set = store.ensure_loss_set(f"{role} model", "without prompts", role)
        store.ingest_shard(f"{run}-{role}-alone", loss_set, losses.select(SHARD_SCHEMA.names).cast(SHARD_SCHEMA))
        store.save_run(run, str(found["dataset"]), {f"{role}_alone": loss_set})


def _seconds(do: Callable[[], object]) -> dict[str, float]:
    began, processor = time.perf_counter(), time.process_time()
    do()
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
    }


def main() -> int:
    """Print a line a question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.workspace, given.repeats)
    print(f"{found['rows']:,} rows; import {found['import']}; scored table {found['scored_table']}")
    for each in (QueryLatency(**fields) for fields in found["queries"]):
        print(f"{each.query:60} first {each.first:8} p50 {each.p50:7} p95 {each.p95:7} processor {each.processor:7} ms")
    keep_figures(given.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
