"""A small scored store for tests: rows given by hand, losses ingested as a worker's shards are."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from core.data.examples import DatasetRow, Example, Message
from core.jobs.shards import SHARD_SCHEMA
from core.store import Store


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One dataset row with its two NLL sums [nats]; None where a model gave none."""

    domain: str
    base: float | None
    reference: float | None
    tokens: int = 10
    prompt: str = "What is it?"
    response: str = ""
    truncated: bool = False


def add_scored_run(store: Store, rows: Sequence[ScoredRow], run: str = "first", dataset: str = "data") -> str:
    """Add the rows as a dataset and score them in a run; returns the run's scored table.

    Row n of the sequence gets row_number n + 1; a row without a response gets one of its own.
    """
    examples = [
        Example((Message("user", row.prompt), Message("assistant", row.response or f"answer {number}")))
        for number, row in enumerate(rows)
    ]
    records = [
        DatasetRow(number, row.domain, example, b"{}")
        for number, (row, example) in enumerate(zip(rows, examples, strict=True), 1)
    ]
    store.add_source(dataset, f"{dataset}.jsonl", "jsonl", dataset, {}, records)
    base_set = store.ensure_loss_set("base model", "encoding", "base")
    reference_set = store.ensure_loss_set("reference model", "encoding", "reference")
    ids = [str(example.example_id) for example in examples]
    for loss_set, sums in ((base_set, [row.base for row in rows]), (reference_set, [row.reference for row in rows])):
        ingest_losses(store, f"{run}-{loss_set}", loss_set, ids, sums, rows)
        store.set_noise_floor(loss_set, 1e-6)
    store.save_run(run, dataset, {"base": base_set, "reference": reference_set}, {})
    return str(store.run(run)["table"])


def ingest_losses(
    store: Store,
    shard_name: str,
    loss_set: int,
    example_ids: Sequence[str],
    nll_sums: Sequence[float | None],
    rows: Sequence[ScoredRow],
) -> None:
    """Ingest one NLL sum [nats] for each row, as a worker's shard of that name brings it."""
    shard = pa.table(
        {
            "example_id": example_ids,
            "nll_sum": pa.array(nll_sums, pa.float64()),
            "token_count": [row.tokens for row in rows],
            "truncated": [row.truncated for row in rows],
            "reason": pa.array([None] * len(rows), pa.string()),
            "left_out": [0.0] * len(rows),
            "end_nll_sum": pa.nulls(len(rows), pa.float64()),
            "end_token_count": pa.nulls(len(rows), pa.int32()),
        }
    )
    store.ingest_shard(shard_name, loss_set, shard.cast(SHARD_SCHEMA))
