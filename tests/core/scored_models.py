"""A run of real tiny models for tests: planned as a request is, its losses computed here and not by a worker."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from core.data.examples import DatasetRow, Example
from core.encoding.encode import encode_examples
from core.engine.response_loss import response_losses
from core.jobs.shards import SHARD_SCHEMA
from core.models.loading import load_model, load_tokenizer
from core.scoring.ingest import save_planned_run
from core.scoring.planning import ROLES, ScoreRequest, plan_scoring
from core.store import Store


def score_examples(
    store: Store,
    examples: Sequence[Example],
    base: Path,
    reference: Path,
    run: str = "tiny",
    max_length: int = 2048,
    domains: Sequence[str] = ("chat",),
    dataset: str = "talk",
    of_pairs: bool = False,
) -> None:
    """Import the examples (row n + 1 is example n, of the domains in turn) and save their run under both models.
    `of_pairs`: they are the chosen and the rejected side of a preference pair in turn."""
    rows = [
        DatasetRow(number, domains[number % len(domains)], example, b"{}", is_chosen=of_pairs and number % 2 == 1)
        for number, example in enumerate(examples, 1)
    ]
    store.add_source(dataset, f"{dataset}.jsonl", "jsonl", "a hash", {}, rows)
    plan = plan_scoring(
        store, ScoreRequest(dataset, str(base), str(reference), run=run, max_length=max_length, device="cpu")
    )
    encoded = encode_examples(examples, load_tokenizer(plan.models["base"]), plan.encoding)
    for role in ROLES:
        losses: list[tuple[float | None, float | None]] = [(None, None)] * len(examples)
        for batch in response_losses(load_model(plan.models[role], plan.dtype, "cpu"), encoded, 4096):
            for place, *sums in zip(batch.rows, batch.by_engine[0], batch.ends_by_engine[0], strict=True):
                losses[place] = (float(sums[0]), float(sums[1]))
        shard = [
            (
                str(example.example_id),
                loss,
                item.token_count,
                item.truncated,
                item.reason,
                item.left_out,
                end_loss,
                item.end_token_count,
            )
            for example, (loss, end_loss), item in zip(examples, losses, encoded, strict=True)
        ]
        columns = [list(column) for column in zip(*shard, strict=True)]
        store.ingest_shard(
            f"{run} {role}", plan.loss_sets[role], pa.table(columns, names=SHARD_SCHEMA.names).cast(SHARD_SCHEMA)
        )
    save_planned_run(store, plan)
