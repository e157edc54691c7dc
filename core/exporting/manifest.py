"""The manifest of an export: the recipe, the result, and the origin of the rows, enough to reproduce it."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..data.errors import JsonInvalid, ModelUnusable, NotFound, SelectionInvalid
from ..data.version import __version__
from ..scoring.reference_kind import reference_kind
from ..selection.coverage import coverage_fields
from ..selection.profile import selection_profile
from ..selection.recipe import Selection
from ..selection.spread import with_embeddings
from ..selection.summary import Summary
from ..store import Store, imported_scores
from ..store.embedding_files import embeddings_of_run
from ..system.untrusted_json import read_json_object

MANIFEST_VERSION = 1
MANIFEST_SUFFIX = ".manifest.json"
_EXPECTED = "Give the manifest of an export, such as data.jsonl.manifest.json."
_LIBRARIES = ("duckdb", "pyarrow", "pandas", "numpy", "scipy")


def manifest_path(destination: Path) -> Path:
    """The path of an export's manifest: next to it, named after it."""
    return destination.with_name(destination.name + MANIFEST_SUFFIX)


def manifest(
    store: Store,
    selection: Selection,
    summary: Summary,
    output: dict[str, Any],
    name: str | None,
    evidence: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything needed to reproduce the export, as JSON fields. `output` describes the written file; `evidence`: what
    a trial says of the selection."""
    run = store.run(selection.run)
    return {
        "manifest_version": MANIFEST_VERSION,
        "lobass_version": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "selection": name,
        "recipe": with_embeddings(store, selection).to_fields(),
        "output": output,
        "result": summary.to_fields(),
        "profile": selection_profile(store, selection).to_fields(),
        "coverage": coverage_fields(store, selection),
        "run": {
            "name": run["name"],
            "description": run["description"],
            "reference_kind": reference_kind(store, run).to_fields(),
            "embeddings": _embeddings(run),
        }
        | _models(store, run["run_id"]),
        "evidence": evidence,
        "dataset": {"name": run["dataset"], "sources": sources_of(store, run["dataset"])}
        | {"imported_scores": [score.to_fields() for score in imported_scores(store, run["dataset"])]},
        "versions": {"python": platform.python_version()} | {library: version(library) for library in _LIBRARIES},
    }


def selection_from_manifest(path: Path) -> Selection:
    """The recipe of an export, to reproduce it. Raises `NotFound` or `SelectionInvalid`."""
    try:
        recipe = read_json_object(path).get("recipe")
    except FileNotFoundError as error:
        raise NotFound(f"The manifest {path} cannot be read ({error.strerror}). Check the path.") from error
    except JsonInvalid as error:
        raise SelectionInvalid(f"{path} is not an export manifest: {error} {_EXPECTED}") from error
    if recipe is None:
        raise SelectionInvalid(f"{path} is not an export manifest. {_EXPECTED}")
    return Selection.from_fields(recipe)


def _embeddings(run: dict[str, Any]) -> dict[str, Any] | None:
    """Which embeddings the run's spread, clusters, semantic duplicates and coverage are by, if it can have any."""
    try:
        spec = embeddings_of_run(run)
    except ModelUnusable:
        return None
    return {"key": spec.key, **spec.to_fields()}


def _models(store: Store, run_id: int) -> dict[str, Any]:
    found = store.rows(
        """
        SELECT role, model_label, model_fingerprint, encoding_fingerprint, noise_floor
        FROM run_loss JOIN loss_set USING (loss_set_id) WHERE run_id = ? ORDER BY role
        """,
        [run_id],
    )
    names = ("label", "model_fingerprint", "encoding_fingerprint", "noise_floor")
    return {role: dict(zip(names, values, strict=True)) for role, *values in found}


def sources_of(store: Store, dataset: str) -> list[dict[str, Any]]:
    """The files of a dataset: name, format, sha256, options, rows, rejected, rejected_by_reason."""
    dataset_id = store.dataset_id(dataset)
    reasons: dict[int, dict[str, int]] = {}
    for source_id, reason, count in store.rows(
        "SELECT source_id, reason, count(*) FROM rejection JOIN source USING (source_id) WHERE dataset_id = ? "
        "GROUP BY ALL ORDER BY ALL",
        [dataset_id],
    ):
        reasons.setdefault(source_id, {})[reason] = count
    found = store.rows(
        "SELECT source_id, name, format, sha256, options, row_count, rejected_count FROM source "
        "WHERE dataset_id = ? ORDER BY source_id",
        [dataset_id],
    )
    return [
        {
            "name": name,
            "format": source_format,
            "sha256": sha256,
            "options": json.loads(options),
            "rows": rows,
            "rejected": rejected,
            "rejected_by_reason": reasons.get(source_id, {}),
        }
        for source_id, name, source_format, sha256, options, rows, rejected in found
    ]
