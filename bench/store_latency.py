"""How long the store takes for what the pages ask: p50 and p95 over many repeats, each with other parameters.

    python -m bench.store_latency [--rows 1000000] [--workspace DIR] [--repeats 40] [--json FILE]

Takes the workspace, or makes one of so many rows in eight domains (`bench.make_rows`) and removes it again. No repeat
asks what another asked, so no kept result answers, but for Spearman over all rows, which pages ask with the same words
until the store changes; "first" is the first of its kind after opening, which also makes what the others reuse, such as
a ranking. A p95 over the limit of this number of rows is marked.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.figures import keep_figures
from bench.make_rows import make_workspace
from core.data.filters import Range, RowFilter
from core.exploring.browsing import examples_page
from core.exploring.distributions import histogram
from core.exploring.length_bias import length_bias
from core.selection import Amount, ScoredRun, Selection, near_the_cut, scored_run, select_summary
from core.store import Store

LIMITS = ((1_000_000, 50.0), (10_000_000, 300.0))
"""The limit [milliseconds] up to so many rows."""
REPEATS = 40
_COLUMNS = ("learnability", "loss_difference", "base_loss", "reference_loss")


@dataclass(frozen=True, slots=True)
class QueryLatency:
    """Milliseconds of one kind of question: the first of its kind, and of the others the median, the 95th percentile
    and the mean of the processor time that they took on all cores."""

    query: str
    first: float
    p50: float
    p95: float
    processor: float


def measure(rows: int, workspace: Path | None = None, repeats: int = REPEATS) -> dict[str, object]:
    """rows, limit [ms], load (of the machine, before and after) and `queries`, the fields of a `QueryLatency` each.

    `workspace` is one that `bench.make_rows` made; else one is made and removed.
    """
    if workspace is None:
        with tempfile.TemporaryDirectory(prefix="store_latency_") as folder:
            make_workspace(Path(folder) / "workspace", rows)
            return measure(rows, Path(folder) / "workspace", repeats)
    before = os.getloadavg()[0]
    with Store.open(workspace, "bench.store_latency") as store:
        run = scored_run(store, str(store.rows("SELECT name FROM run ORDER BY run_id")[0][0]))
        found = [timed(query, ask, repeats) for query, ask in _questions(store, run).items()]
    counted = sum(total for total, _ in run.totals.values())
    limit = next((limit for most, limit in LIMITS if counted <= most), None)
    load = [round(before, 2), round(os.getloadavg()[0], 2)]
    return {"rows": counted, "limit": limit, "load": load, "queries": [asdict(each) for each in found]}


def _questions(store: Store, run: ScoredRun) -> dict[str, Callable[[random.Random], object]]:
    """Each kind of question, to be asked with what is drawn."""
    domains = list(run.totals)

    def long_enough(draw: random.Random) -> RowFilter:
        return RowFilter(ranges=(Range("token_count", draw.uniform(1, 100), None),))

    def every_row(draw: random.Random) -> RowFilter:
        return RowFilter(ranges=(Range("token_count", None, draw.uniform(10**6, 10**9)),))

    def share(draw: random.Random) -> Amount:
        return Amount("ratio", round(draw.uniform(0.01, 0.5), 5))

    def histogram_of(draw: random.Random) -> object:
        return histogram(store, run.table, draw.choice(_COLUMNS), RowFilter(), bounds=(0.0, draw.uniform(2, 6)))

    def histogram_filtered(draw: random.Random) -> object:
        return histogram(store, run.table, draw.choice(_COLUMNS), long_enough(draw))

    def own_shares(draw: random.Random) -> object:
        return select_summary(
            store, Selection(run.name, domain_amounts={domain: share(draw) for domain in domains}), run
        )

    def pooled(draw: random.Random) -> object:
        return select_summary(store, Selection(run.name, scope="pooled", amount=share(draw)), run)

    def of_tokens(draw: random.Random) -> object:
        return select_summary(store, Selection(run.name, amount=Amount("tokens", draw.randrange(10**4, 10**8))), run)

    def at_the_cut(draw: random.Random) -> object:
        return near_the_cut(store, Selection(run.name, amount=share(draw)), draw.choice(domains), 5, run)

    def page_of_rows(draw: random.Random) -> object:
        return examples_page(
            store, run.table, long_enough(draw), draw.choice(_COLUMNS), True, draw.randrange(1, 200), 50
        )

    return {
        "histogram, 60 bins by domain": histogram_of,
        "the same over what a filter passes, its bounds found first": histogram_filtered,
        "selection: a share for all domains": lambda draw: select_summary(
            store, Selection(run.name, amount=share(draw)), run
        ),
        "selection: a share of its own for each domain": own_shares,
        "selection: pooled": pooled,
        "selection: a budget of tokens": of_tokens,
        "the rows beside a domain's cut": at_the_cut,
        "a page of rows, sorted and filtered": page_of_rows,
        "Spearman of length and scores, all rows": lambda draw: length_bias(store, run.table, RowFilter()),
        "the same, computed anew": lambda draw: length_bias(store, run.table, every_row(draw)),
        "Spearman of length and scores, filtered": lambda draw: length_bias(store, run.table, long_enough(draw)),
    }


def timed(query: str, ask: Callable[[random.Random], object], repeats: int) -> QueryLatency:
    """Ask a question once and then so often again, each time with another draw."""
    draw = random.Random(query)
    times, processor = [], []
    for _ in range(repeats + 1):
        began, processor_began = time.perf_counter(), time.process_time()
        ask(draw)
        times.append(1000 * (time.perf_counter() - began))
        processor.append(1000 * (time.process_time() - processor_began))
    others = times[1:]
    p95 = statistics.quantiles(others, n=20, method="inclusive")[-1]
    figures = (times[0], statistics.median(others), p95, statistics.mean(processor[1:]))
    return QueryLatency(query, *(round(figure, 1) for figure in figures))


def main() -> int:
    """Print a line a question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workspace", type=Path, help="of bench.make_rows; made and removed where not given")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--json", type=Path, help="file for the same numbers")
    arguments = parser.parse_args()
    found = measure(arguments.rows, arguments.workspace, arguments.repeats)
    limit, queries = found["limit"], [QueryLatency(**each) for each in found["queries"]]  # type: ignore[attr-defined]
    print(f"{found['rows']:,} rows, limit {limit} ms, load before and after {found['load']}")
    print(f"{'milliseconds':60} {'first':>8} {'p50':>8} {'p95':>8} {'processor':>10}")
    for each in queries:
        over = "" if limit is None or each.p95 <= float(str(limit)) else "  over the limit"
        print(f"{each.query:60} {each.first:8.1f} {each.p50:8.1f} {each.p95:8.1f} {each.processor:10.1f}{over}")
    keep_figures(arguments.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
