"""Makes a scored workspace of any size without a model: synthetic rows with text and losses, to try the pages on.

    python -m bench.make_rows --rows 1000000 --domains 8 --workspace DIR [--seed 0] [--runs 2]

Texts are word salad, losses are drawn; everything goes in through the store, as an import and a worker would bring it.
A second run reads the same rows with another reference, correlated with the first. Memory is bounded by the chunk.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.figures import keep_figures
from bench.synthetic_text import chunk_of_rows
from core.data.errors import NameTaken, UserError
from core.data.settings import workspace_path
from core.jobs.shards import SHARD_SCHEMA
from core.selection import Amount, Selection, save_selection
from core.store import Store

DATASET = "synthetic"
RUNS = ("synthetic", "synthetic-second")
MODELS = ("synthetic base", "synthetic reference", "synthetic second reference")
SELECTIONS = {"top 6 %": "highest", "longest 6 %": "longest"}
MAX_TOKENS = 512
CHUNK_ROWS = 50_000
_DOMAINS = ("chat", "code", "math", "science", "law", "medicine", "stories", "translation")
_NOISE_FLOOR = 1e-5  # nats per token

# Shares of the rows that carry each flag.
_TRUNCATED, _UNRESOLVED, _LOW_BASE, _ZERO_BASE = 0.01, 0.004, 0.005, 0.0002
_NON_FINITE, _NO_TOKEN, _NOT_SCORED = 0.0005, 0.001, 0.0005


@dataclass(frozen=True, slots=True)
class DomainLosses:
    """How one domain's losses are spread: median base loss [nats per token], and the share that each of the two
    references removes of it, on average."""

    base_median: float
    share_removed: tuple[float, float]


def domain_names(count: int) -> list[str]:
    """Names of so many domains."""
    return [_DOMAINS[number] if number < len(_DOMAINS) else f"domain {number + 1}" for number in range(count)]


def make_workspace(workspace: Path, rows: int, domains: int = 8, seed: int = 0, runs: int = 1) -> dict[str, float]:
    """Fill a workspace (made if new) with `rows` rows in `domains` domains, `runs` (1 or 2) runs over them, and two
    saved selections of the last run.

    Returns the seconds of each step. The same arguments give the same rows and losses. Raises `NameTaken` if the
    workspace holds such a dataset already.
    """
    seconds: dict[str, float] = {}
    with Store.open(workspace, "bench.make_rows") as store:
        if store.rows("SELECT 1 FROM dataset WHERE name = ?", [DATASET]):
            raise NameTaken(f"{workspace} holds a dataset named {DATASET!r} already. Choose another --workspace.")
        started = time.perf_counter()
        names = domain_names(domains)
        records = (row for numbers in _chunks(rows) for row in chunk_of_rows(numbers, names, seed))
        sha256 = hashlib.sha256(f"{rows} {names} {seed}".encode()).hexdigest()
        store.add_source(DATASET, "synthetic.jsonl", "alpaca", sha256, {"seed": seed}, records)
        seconds["rows and texts"] = time.perf_counter() - started

        started = time.perf_counter()
        loss_sets = _ingest_losses(store, rows, names, seed, runs)
        seconds["losses"] = time.perf_counter() - started

        for run, reference_set in zip(RUNS[:runs], loss_sets[1:], strict=True):
            started = time.perf_counter()
            store.save_run(run, DATASET, {"base": loss_sets[0], "reference": reference_set}, _description(run))
            seconds[f"run {run!r}"] = time.perf_counter() - started

        started = time.perf_counter()
        for name, order in SELECTIONS.items():
            save_selection(store, name, Selection(RUNS[runs - 1], order=order, amount=Amount("ratio", 0.06)))
        seconds["selections"] = time.perf_counter() - started
    return seconds


def _chunks(rows: int) -> Iterator[range]:
    """Row numbers, from 1, in chunks that know nothing of each other."""
    for first in range(1, rows + 1, CHUNK_ROWS):
        yield range(first, min(first + CHUNK_ROWS, rows + 1))


def _description(run: str) -> dict[str, object]:
    reference = MODELS[1 + RUNS.index(run)]
    return {
        "models": {"base": {"label": MODELS[0]}, "reference": {"label": reference}},
        "encoding": {"template": "none", "max_length": MAX_TOKENS},
        "dtype": "float32",
    }


# Losses


def _ingest_losses(store: Store, rows: int, names: list[str], seed: int, runs: int) -> list[int]:
    """Draw and ingest the losses of the base and of each run's reference; returns their loss sets."""
    loss_sets = [store.ensure_loss_set(model, "synthetic encoding", model) for model in MODELS[: 1 + runs]]
    shapes = _domain_losses(len(names), seed)
    sql = """
        SELECT min(row_number) AS first_row, example_id::VARCHAR AS example_id,
            first(domain ORDER BY row_number) AS domain,
            any_value(length(response) - length(replace(response, ' ', '')) + 1) AS words
        FROM dataset_row JOIN example USING (example_id)
        WHERE dataset_id = ? AND row_number BETWEEN ? AND ? GROUP BY example_id ORDER BY first_row
    """
    dataset_id = store.dataset_id(DATASET)
    for numbers in _chunks(rows):
        batches = list(store.batches(sql, [dataset_id, numbers[0], numbers[-1]]))
        found = pa.Table.from_batches(batches)
        places = pa.compute.index_in(found["domain"], pa.array(names)).to_numpy()
        shards = draw_losses(found["example_id"], places, found["words"].to_numpy(), shapes, [seed, numbers[0]])
        for loss_set, shard in zip(loss_sets, shards, strict=False):
            store.ingest_shard(f"synthetic-{seed}-{loss_set}-{numbers[0]}", loss_set, shard)
    for loss_set in loss_sets:
        store.set_noise_floor(loss_set, _NOISE_FLOOR)
    return loss_sets


def _domain_losses(count: int, seed: int) -> list[DomainLosses]:
    """Domains differ in how surprising they are to the base, and in how much of that fine-tuning removes."""
    random = np.random.default_rng([seed, 0])
    base = np.exp(random.uniform(np.log(0.6), np.log(2.4), count))
    share = random.uniform(0.08, 0.5, count)
    return [
        DomainLosses(float(base[i]), (float(share[i]), float(share[i] * random.uniform(0.7, 1.2))))
        for i in range(count)
    ]


def draw_losses(
    example_ids: pa.ChunkedArray, domains: np.ndarray, words: np.ndarray, shapes: list[DomainLosses], seed: list[int]
) -> tuple[pa.Table, ...]:
    """Shards of base, reference and second reference for examples of domain `domains[i]` and `words[i]` words.

    A loss is log-normal about its domain's median, the wider the shorter the response; the two references' shares
    are correlated (about 0.8). A few of each kind of flagged row are planted.
    """
    random = np.random.default_rng(seed)
    count = len(domains)
    tokens = np.maximum(1, np.round(words * random.uniform(1.1, 1.6, count))).astype(np.int32) + 1
    truncated = (tokens > MAX_TOKENS) | (random.random(count) < _TRUNCATED)
    tokens = np.minimum(tokens, MAX_TOKENS)
    medians = np.array([shape.base_median for shape in shapes])[domains]
    short = np.sqrt(20 / tokens)
    base = medians * np.exp(0.3 * random.standard_normal(count) + 0.25 * short * random.standard_normal(count))
    base[random.random(count) < _LOW_BASE] *= 0.01
    base[random.random(count) < _ZERO_BASE] = 0
    common = random.standard_normal(count)
    losses = [base]
    for reference in range(2):
        shares = np.array([shape.share_removed[reference] for shape in shapes])[domains]
        own = random.standard_normal(count)
        spread = (0.9 * common + 0.45 * own) * (0.08 + 0.08 * short)
        share = np.minimum(shares + spread + 0.02 * np.log(20 / tokens), 0.98)
        losses.append(base * (1 - share))
    unresolved = random.random(count) < _UNRESOLVED
    for loss in losses[1:]:
        loss[unresolved] = base[unresolved] + 1e-7
        loss[random.random(count) < _NON_FINITE] = np.nan
    no_token = random.random(count) < _NO_TOKEN
    return tuple(
        _shard(example_ids, loss * tokens, tokens, truncated, no_token).filter(
            pa.array(random.random(count) >= _NOT_SCORED)
        )
        for loss in losses
    )


def _shard(
    example_ids: pa.ChunkedArray, nll_sums: np.ndarray, tokens: np.ndarray, truncated: np.ndarray, no_token: np.ndarray
) -> pa.Table:
    reasons = ["prompt fills the maximum length" if without else None for without in no_token]
    columns = {
        "example_id": example_ids,
        "nll_sum": pa.array(nll_sums, pa.float64(), mask=no_token, from_pandas=False),
        "token_count": np.where(no_token, 0, tokens).astype(np.int32),
        "truncated": truncated | no_token,
        "reason": pa.array(reasons, pa.string()),
        "left_out": np.zeros(len(reasons), np.float32),
        "end_nll_sum": pa.array(nll_sums / tokens, pa.float64(), mask=no_token, from_pandas=False),
        "end_token_count": np.where(no_token, 0, 1).astype(np.int32),
    }
    return pa.table(columns).cast(SHARD_SCHEMA)


def main() -> int:
    """Make the workspace, and print how long each step took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--domains", type=int, default=8)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, choices=(1, 2), default=1)
    parser.add_argument("--json", type=Path, help="write the seconds of each step there")
    arguments = parser.parse_args()
    workspace = workspace_path(arguments.workspace)
    try:
        seconds = make_workspace(workspace, arguments.rows, arguments.domains, arguments.seed, arguments.runs)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    for step, taken in seconds.items():
        print(f"{step:28} {taken:8.1f} s")
    keep_figures(arguments.json, seconds)
    size = sum(file.stat().st_size for file in workspace.rglob("*") if file.is_file())
    print(f"{'all':28} {sum(seconds.values()):8.1f} s, {arguments.rows:,} rows, {size / 1e6:,.0f} MB in {workspace}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
