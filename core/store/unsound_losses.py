"""Losses of versions up to 0.5.0 that are not their model's: dropped when a store of such a version is opened.

Which they may be is told by the runs and jobs that brought them (`core.models.earlier_losses`). A loss set goes whole,
since a loss does not say which of them it came from; runs keep their names, and scoring them again computes it anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from ..jobs.job import all_jobs
from ..models.earlier_losses import unsound_roles
from ..models.resolving import ModelSpec
from .connection import fetch_all, fetch_first

_BROUGHT_AS_BASE = "-base-"
"""Within a shard's name, between its job and its number."""

_Scored = tuple[dict[str, ModelSpec], str, dict[str, int]]
"""Models by role that were scored together, in which precision, and the loss set of each."""


def drop_unsound_losses(connection: duckdb.DuckDBPyConnection, workspace: Path) -> list[str]:
    """Drop every loss set that is or may be wrong, its token losses and its shards' entries in the ledger; returns a
    sentence for people on each."""
    reasons: dict[int, str] = {}
    told: set[int] = set()
    for models, dtype, loss_sets in [*_of_runs(connection), *_of_jobs(connection, workspace)]:
        told |= set(loss_sets.values())
        for role, reason in unsound_roles(models, dtype, workspace).items():
            if role in loss_sets:
                reasons.setdefault(loss_sets[role], reason)
    for loss_set in _of_bases_unknown(connection, told):
        reasons[loss_set] = (
            "the runs and jobs that brought them are gone, so that nobody can tell whether they are right"
        )
    return [notice for loss_set, reason in sorted(reasons.items()) if (notice := _drop(connection, loss_set, reason))]


def _of_runs(connection: duckdb.DuckDBPyConnection) -> Iterator[_Scored]:
    for base_set, reference_set, text in fetch_all(
        connection, "SELECT base_set, reference_set, description FROM run ORDER BY run_id"
    ):
        description = json.loads(text)
        # A run that names no models is older than scoring two of them on one set of weights.
        models = {role: ModelSpec(**fields) for role, fields in description.get("models", {}).items()}
        yield models, description.get("dtype", "float32"), {"base": base_set, "reference": reference_set}


def _of_jobs(connection: duckdb.DuckDBPyConnection, workspace: Path) -> Iterator[_Scored]:
    """Of jobs; one that computed a single model took no adapter off."""
    for request in (job.request for job in all_jobs(workspace)):
        if request["kind"] != "score":
            continue
        models = {part["role"]: ModelSpec(**part["model"]) for part in request["parts"]}
        loss_sets = {role: _loss_set(connection, request["description"], role) for role in models}
        yield models, request["dtype"], {role: number for role, number in loss_sets.items() if number is not None}


def _loss_set(connection: duckdb.DuckDBPyConnection, description: dict[str, Any], role: str) -> int | None:
    found = fetch_first(
        connection,
        "SELECT loss_set_id FROM loss_set WHERE model_fingerprint = ? AND encoding_fingerprint = ?",
        [description["model_fingerprints"][role], description["encoding_fingerprint"]],
    )
    return int(found[0]) if found else None


def _of_bases_unknown(connection: duckdb.DuckDBPyConnection, told: set[int]) -> list[int]:
    """Loss sets that some job brought as a base's and of which no run and no job is left."""
    shards = fetch_all(connection, "SELECT name, loss_set_id FROM shard WHERE loss_set_id IS NOT NULL")
    return sorted({loss_set for name, loss_set in shards if _BROUGHT_AS_BASE in name} - told)


def _drop(connection: duckdb.DuckDBPyConnection, loss_set: int, reason: str) -> str | None:
    held, label = fetch_all(
        connection,
        "SELECT count(loss.example_id), any_value(model_label) FROM loss_set LEFT JOIN loss USING (loss_set_id) "
        "WHERE loss_set_id = ?",
        [loss_set],
    )[0]
    for table in ("loss", "token_loss", "shard"):
        fetch_all(connection, f"DELETE FROM {table} WHERE loss_set_id = ?", [loss_set])
    fetch_all(connection, "UPDATE loss_set SET noise_floor = NULL WHERE loss_set_id = ?", [loss_set])
    if not held:
        return None
    runs = fetch_all(
        connection, "SELECT name FROM run WHERE ? IN (base_set, reference_set) ORDER BY run_id", [loss_set]
    )
    names = ", ".join(repr(name) for (name,) in runs)
    again = f"Score again what was saved as {names}." if runs else "They are computed again where they are needed."
    return f"{held:,} losses of {label!r} from an earlier version were dropped: {reason}. {again}"
