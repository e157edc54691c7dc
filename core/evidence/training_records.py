"""What training recorded of the models behind a run's reference losses: losses by pass, steps, order of the rows.

A model that was trained elsewhere, or whose folder is gone, has no records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.errors import JsonInvalid, ModelUnusable
from ..models.folder_check import read_json
from ..models.resolving import PROVENANCE, ModelSpec, trained_examples
from ..system.untrusted_json import parse_json_object
from ..training.recorded_models import PASSES

_KINDS = {"step": int, "passes": float, "rows": str, "domain": str, "examples": int, "tokens": int, "nll_sum": float}
PASSES_COLUMNS = ("place", *_KINDS)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """One model behind a run's reference: its fold and seed (None if it is the only one), its files, and the
    fingerprint of its losses."""

    fold: int | None
    seed: int | None
    spec: ModelSpec
    fingerprint: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return Path(self.spec.adapter or self.spec.path)

    def provenance(self) -> dict[str, Any]:
        """What training wrote down; empty if nothing."""
        return read_json(self.folder / PROVENANCE)

    def data_order(self) -> list[str]:
        """Ids of its examples in the order of the first pass; empty if not recorded."""
        return trained_examples(self.spec)

    def batches_a_pass(self) -> int | None:
        """Number of batches in a pass over its rows; None if not recorded."""
        provenance = self.provenance()
        passes = 1.0 if provenance.get("budget") else provenance.get("epochs")
        steps = provenance.get("stopped_early_after_step") or provenance.get("steps")
        recorded = self.passes()
        if (recorded["step"] > 0).any():
            steps, passes = recorded.loc[recorded["step"] > 0, ["step", "passes"]].iloc[0]
        return round(steps / passes) if steps and passes else None

    def passes(self) -> pd.DataFrame:
        """Its losses after each pass, up to the weights that were kept; `PASSES_COLUMNS`, empty if not recorded.

        `place`: 0 for the base, then 1, 2 and so on for the recorded passes. `rows`: "held_out" or "own". nll_sum in
        nats. Raises `ModelUnusable` for a damaged file.
        """
        found = _read_lines(self.folder / PASSES)
        kept = self.provenance().get("best_step")  # training that was stopped went back to these weights
        if kept is not None:
            found = found[found["step"] <= kept]
        found.insert(0, "place", found["step"].rank(method="dense").astype(int) - 1)
        return found


def trained_models(run: Mapping[str, Any]) -> list[TrainedModel]:
    """The models behind the reference of a run (`core.store.Store.run`), in the order of its description."""
    description = run["description"]
    cross = description.get("cross_fitted")
    one_model: dict[str, Any] = {"role": "reference", "fold": None, "seed": None}
    listed: list[dict[str, Any]] = cross["models"] if cross else [one_model]
    specs, fingerprints = description.get("models", {}), description.get("model_fingerprints", {})
    return [
        TrainedModel(one["fold"], one["seed"], ModelSpec(**specs[one["role"]]), fingerprints[one["role"]])
        for one in listed
        if one["role"] in fingerprints
    ]


def _read_lines(path: Path) -> pd.DataFrame:
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        found = [parse_json_object(line, f"Line {number}") for number, line in enumerate(lines, 1)]
        return pd.DataFrame(found, columns=list(_KINDS)).astype(_KINDS)
    except (OSError, ValueError, TypeError, JsonInvalid) as error:
        raise ModelUnusable(f"{path} cannot be read ({error}). Train the reference again.") from error
