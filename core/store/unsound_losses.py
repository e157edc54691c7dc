"""Drops wrong losses of versions up to 0.5.0 when a store of such a version is opened.

The runs and jobs that computed them show which may be wrong (`core.models.earlier_losses`). Whole loss sets are
dropped, because a loss does not record its run or job. Runs keep their names; scoring them again computes the losses.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from ..jobs.job import readable_jobs
from ..models.earlier_losses import unsound_roles
from ..models.resolving import ModelSpec
from .connection import fetch_all, fetch_first

_BROUGHT_AS_BASE = "-base-"
"""The part of a shard's name between job and number."""

_Scored = tuple[dict[str, ModelSpec], str, dict[str, int]]
"""Models by role that were scored together, their precision, and their loss sets."""


def drop_unsound_losses(connection: duckdb.DuckDBPyConnection, workspace: Path) -> list[str]:
    """Drop every loss set that is or may be wrong, with its token losses and its shards' ledger entries; returns a
    sentence for the user on each."""
    reasons: dict[int, str] = {}
    told: set[int] = set()
    for models, dtype, loss_sets in [*_of_runs(connection), *_of_jobs(connection, workspace)]:
        told |= set(loss_sets.values())
        for role, reason in unsound_roles(models, dtype, workspace).items():
            if role in loss_sets:
                reasons.setdefault(loss_sets[role], reason)
    for loss_set in _of_bases_unknown(connection, told):
        reasons[loss_set] = "the runs and jobs that computed them are gone, so they cannot be verified"
    return [notice for loss_set, reason in sorted(reasons.items()) if (notice := _drop(connection, loss_set, reason))]


def _of_runs(connection: duckdb.DuckDBPyConnection) -> Iterator[_Scored]:
    for base_set, reference_set, text in fetch_all(
        connection, "SELECT base_set, reference_set, description FROM run ORDER BY run_id"
    ):
        description = json.loads(text)
        # A run without recorded models predates shared weights.
        models = {role: ModelSpec(**fields) for role, fields in description.get("models", {}).items()}
        yield models, description.get("dtype", "float32"), {"base": base_set, "reference": reference_set}


def _of_jobs(connection: duckdb.DuckDBPyConnection, workspace: Path) -> Iterator[_Scored]:
    """Models scored by jobs; a job with a single model disabled no adapter."""
    for request in (job.request for job in readable_jobs(workspace)):
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
    """Loss sets computed as a base's by a job, with no run or job left."""
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
    again = f"Score again what was saved as {names}." if runs else "They are computed again when needed."
    return f"{held:,} losses of {label!r} from an earlier version were dropped: {reason}. {again}"
