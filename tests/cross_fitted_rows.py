"""Runs with a cross-fitted reference for tests: losses given by hand for each role, and what training records."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pyarrow as pa

from core.data.examples import DatasetRow, Example, Message
from core.data.loss_roles import seed_role
from core.jobs.shards import SHARD_SCHEMA
from core.store import Store

ENCODING = "encoding"


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """One dataset row with its NLL sums [nats]: under the base, under the models of each seed that never saw it, and
    under the models that did (None: held out)."""

    domain: str
    base: float
    seeds: tuple[float, ...]
    own: float | None = None
    tokens: int = 10


def example_of(number: int) -> Example:
    """The conversation of row `number`."""
    return Example((Message("user", "What is it?"), Message("assistant", f"answer {number}")))


def add_judged_run(
    store: Store,
    rows: Sequence[JudgedRow],
    run: str = "cross",
    dataset: str = "data",
    models: Mapping[str, Path] | None = None,
) -> str:
    """Import the rows and save their run; returns its scored table. `models`: folders by role (fold-0-seed-0)."""
    records = [DatasetRow(number, row.domain, example_of(number), b"{}") for number, row in enumerate(rows, 1)]
    store.add_source(dataset, f"{dataset}.jsonl", "jsonl", dataset, {}, records)
    losses: dict[str, list[float | None]] = {
        "base": [row.base for row in rows],
        "reference": [mean(row.seeds) for row in rows],
    }
    seeds = range(len(rows[0].seeds))
    if len(seeds) > 1:
        losses |= {seed_role(seed): [row.seeds[seed] for row in rows] for seed in seeds}
        losses["seed_spread"] = [stdev(row.seeds) for row in rows]
    if any(row.own is not None for row in rows):
        losses["own"] = [row.own for row in rows]
    sets = {role: add_losses(store, f"{run} {role}", sums, rows) for role, sums in losses.items()}
    store.save_run(run, dataset, sets, description(models or {}, seeds, "own" in losses))
    return str(store.run(run)["table"])


def add_losses(store: Store, model: str, sums: Sequence[float | None], rows: Sequence[JudgedRow]) -> int:
    """Ingest the NLL sums of the rows under a model of that fingerprint; returns its loss set."""
    loss_set = store.ensure_loss_set(model, ENCODING, model)
    found = [(n, nats, row) for n, (nats, row) in enumerate(zip(sums, rows, strict=True), 1) if nats is not None]
    columns: list[list[Any]] = [
        [str(example_of(number).example_id) for number, _, _ in found],
        [nats for _, nats, _ in found],
        [row.tokens for _, _, row in found],
        [False] * len(found),
        [None] * len(found),
        [0.0] * len(found),
        [None] * len(found),
        [None] * len(found),
    ]
    store.ingest_shard(f"{model} losses", loss_set, pa.table(columns, names=SHARD_SCHEMA.names).cast(SHARD_SCHEMA))
    store.set_noise_floor(loss_set, 1e-9)
    return loss_set


def description(models: Mapping[str, Path], seeds: Sequence[int], own: bool) -> dict[str, Any]:
    """What scoring writes down of a run with a cross-fitted reference of these models."""
    listed = [
        {"role": role, "fold": int(role.split("-")[1]), "seed": int(role.split("-")[3])} for role in models
    ]  # fmt: skip
    specs = {
        role: {"label": f"cross/{role}", "path": str(folder), "adapter": None, "weights_hash": role}
        for role, folder in models.items()
    }
    return {
        "models": specs,
        "model_fingerprints": {role: f"{role} weights" for role in models},
        "encoding_fingerprint": ENCODING,
        "cross_fitted": {
            "name": "cross",
            "folds": 2,
            "seeds": list(seeds),
            "held_out": 0,
            "models": listed,
            "own": own,
        },
    }


def write_model(
    folder: Path,
    losses: Mapping[tuple[str, str], Sequence[float]] | None = None,
    data_order: Sequence[str] = (),
    **provenance: Any,
) -> Path:
    """What training leaves beside a model's weights. `losses`: those under the base and after each pass [nats per
    token, 100 tokens], by ("held_out" or "own", domain)."""
    folder.mkdir(parents=True)
    lines = [
        {"passes": float(place), "step": 10 * place, "rows": rows, "domain": domain, "examples": 5, "tokens": 100,
         "nll_sum": 100 * loss}
        for (rows, domain), by_pass in (losses or {}).items()
        for place, loss in enumerate(by_pass)
    ]  # fmt: skip
    if losses:
        (folder / "passes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    fields = {"data_order": list(data_order), **provenance}
    (folder / "provenance.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder
