"""Two runs over one dataset for tests: rows given by hand, their losses ingested as a worker's shards are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from core.data.examples import DatasetRow, Example, Message
from core.jobs.shards import SHARD_SCHEMA
from core.store import Store


@dataclass(frozen=True, slots=True)
class TwiceScored:
    """One dataset row with the NLL sums [nats] of the base and of two references; None where one was not computed.
    Equal responses are equal conversations."""

    domain: str
    base: float
    one: float | None
    two: float | None
    response: str
    tokens: int = 10

    @property
    def example(self) -> Example:
        """The conversation."""
        return Example((Message("user", "What is it?"), Message("assistant", self.response)))


def import_rows(store: Store, rows: Sequence[TwiceScored], source: str = "data.jsonl", dataset: str = "data") -> None:
    """Add the rows to the dataset as one file; row numbers go on from those there are."""
    records = [DatasetRow(number, row.domain, row.example, b"{}") for number, row in enumerate(rows, 1)]
    store.add_source(dataset, source, "jsonl", source, {}, records)


def score_rows(
    store: Store,
    rows: Sequence[TwiceScored],
    run: str,
    reference: str,
    dataset: str = "data",
    noise: float = 1e-9,
    **description: Any,
) -> str:
    """Score the dataset with a base and the reference "one" or "two"; returns the run's scored table.

    `rows` are those with new losses; `description` replaces fields of the run's description.
    """
    sets = {label: store.ensure_loss_set(f"{label} weights", "encoding", label) for label in ("base", reference)}
    for label, loss_set in sets.items():
        losses = {str(row.example.example_id): (getattr(row, label), row.tokens) for row in rows}
        found = {key: value for key, value in losses.items() if value[0] is not None}
        columns = [
            list(found),
            [nll_sum for nll_sum, _ in found.values()],
            [tokens for _, tokens in found.values()],
            [False] * len(found),
            [None] * len(found),
            [0.0] * len(found),
            [None] * len(found),
            [None] * len(found),
        ]
        shard = pa.table(columns, names=SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
        store.ingest_shard(f"{run} {loss_set} {len(rows)}", loss_set, shard)
        store.set_noise_floor(loss_set, noise)
    store.save_run(
        run, dataset, {"base": sets["base"], "reference": sets[reference]}, run_description(reference) | description
    )
    return str(store.run(run)["table"])


def run_description(reference: str) -> dict[str, Any]:
    """What scoring writes down of a run."""
    labels = {"base": "base", "reference": f"reference {reference}"}
    return {
        "models": {role: {"label": label, "weights_hash": f"hash of {label}"} for role, label in labels.items()},
        "encoding": {"template": "chat", "max_length": 512, "tokenizer_fingerprint": "tokenizer", "version": 1},
        "encoding_fingerprint": "encoding",
        "dtype": "float32",
    }
