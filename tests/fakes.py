"""Small real things for tests: a store whose rows and losses are given by hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from core.data.examples import DatasetRow, Example, Message, Rejected
from core.jobs.shards import SHARD_SCHEMA
from core.store import Store


@dataclass(frozen=True, slots=True)
class ScoredRecord:
    """One dataset row: its domain, its loss per token under both models [nats per token], its scored tokens, and the
    text of its record and conversation; equal responses are equal conversations. A loss of None was never computed.
    `end_losses`: the loss of its one end-of-turn token under both models [nats]; None as in losses of version 0.7.0.
    `is_chosen`: the next record is the rejected one of a preference pair with it."""

    domain: str
    base_loss: float | None
    reference_loss: float | None
    token_count: int = 10
    response: str = ""
    original: bytes = b""
    truncated: bool = False
    reason: str | None = None
    end_losses: tuple[float, float] | None = None
    is_chosen: bool = False


def add_scored_records(
    store: Store, records: Sequence[ScoredRecord], run: str = "planets", dataset: str = "space", source: str = "s.jsonl"
) -> None:
    """Import the records as one source (with one rejected line), ingest their losses, save the run.

    Row n of the sequence gets row_number n + 1; a record without a response gets one of its own.
    """
    rows = [_dataset_row(number, record) for number, record in enumerate(records, 1)]
    rejected = Rejected(len(rows) + 1, "bad JSON", "{")
    store.add_source(dataset, source, "jsonl", f"sha256 of {source}", {"domain": "by hand"}, [*rows, rejected])
    sets = [store.ensure_loss_set(f"{model} weights", "plain text", model) for model in ("base", "reference")]
    for model, (loss_set, losses) in enumerate(
        zip(sets, ([r.base_loss for r in records], [r.reference_loss for r in records]), strict=True)
    ):
        found = [
            (
                str(row.example.example_id),
                None if loss is None else loss * r.token_count,
                r.token_count,
                r.truncated,
                r.reason,
                0.0,
                r.end_losses and r.end_losses[model],
                r.end_losses and 1,
            )
            for row, loss, r in zip(rows, losses, records, strict=True)
            if loss is not None or r.reason
        ]
        columns = [list(column) for column in zip(*found, strict=True)]
        shard = pa.table(columns, names=SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
        store.ingest_shard(f"{run}-{loss_set}", loss_set, shard)
        store.set_noise_floor(loss_set, 1e-6)
    store.save_run(run, dataset, {"base": sets[0], "reference": sets[1]}, {"base": "base", "reference": "reference"})


def build_scored_store(workspace: Path, records: Sequence[ScoredRecord]) -> Store:
    """A store with the run "planets" over the dataset "space"; the caller closes it."""
    store = Store.open(workspace, "a test")
    add_scored_records(store, records)
    return store


def _dataset_row(number: int, record: ScoredRecord) -> DatasetRow:
    response = record.response or f"answer {number}"
    example = Example((Message("user", "What is it?"), Message("assistant", response)))
    original = record.original or f'{{"question": "What is it?", "answer": "{response}"}}'.encode()
    return DatasetRow(number, record.domain, example, original, is_chosen=record.is_chosen)


def add_losses_of_role(store: Store, role: str, losses: Sequence[float | None], run: str = "planets") -> None:
    """Give every row of a run a loss of another role [nats per token], in the dataset's order; None: it has none."""
    found = store.run(run)
    rows = store.rows(f"SELECT example_id::VARCHAR, token_count FROM {found['table']} ORDER BY row_number")
    shard = [
        {"example_id": example_id, "nll_sum": loss * count, "token_count": count, "truncated": False}
        for (example_id, count), loss in zip(rows, losses, strict=True)
        if loss is not None
    ]
    loss_set = store.ensure_loss_set(f"{role} weights", "plain text", role)
    store.ingest_shard(f"{run}-{role}", loss_set, pa.Table.from_pylist(shard, SHARD_SCHEMA))
    store.save_run(run, found["dataset"], {role: loss_set})
