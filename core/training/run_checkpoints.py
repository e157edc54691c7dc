"""The checkpoints that a LoRA reference kept, for the rows of a run: found and checked, not loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.errors import ModelUnusable
from ..encoding.encoding_spec import EncodingSpec
from ..models.cross_fitted import is_cross_fitted
from ..models.folder_check import read_json
from ..models.provenance import PROVENANCE
from ..models.resolving import ModelSpec, resolve_model
from ..store import Store
from .kept_checkpoints import OPTION, KeptCheckpoint, kept_checkpoints


@dataclass(frozen=True, slots=True)
class RunCheckpoints:
    """A run's dataset, base, encoding and precision, and a reference's kept checkpoints. `digests`: SHA-256 of their
    files; `provenance`: the reference's."""

    dataset: str
    base: ModelSpec
    encoding: EncodingSpec
    dtype: str
    reference: ModelSpec
    folder: Path
    checkpoints: tuple[KeptCheckpoint, ...]
    digests: dict[str, str]
    provenance: dict[str, Any]

    @property
    def row_seconds(self) -> float | None:
        """What a row took when the reference was trained, None if that is not known."""
        seconds, seen = self.provenance.get("elapsed_seconds"), self.provenance.get("seen_examples")
        return seconds / seen if seconds and seen else None


def run_checkpoints(store: Store, run: str, reference: str | None = None) -> RunCheckpoints:
    """The checkpoints of a reference, by default the run's. Raises `NotFound`, or `ModelUnusable` for a reference
    without any, or of another encoding than the run's."""
    found = store.run(run)
    description = found["description"]
    known = description.get("models", {}).keys() | description.keys()
    if not {"base", "encoding", "dtype"} <= known or not known & {"reference", "cross_fitted"}:
        raise ModelUnusable(f"The run {run!r} does not say which models it has. Score its dataset here first.")
    base = ModelSpec(**description["models"]["base"])
    spec = _reference_of(store, description, run, reference, base)
    assert spec.adapter is not None
    folder, encoding = Path(spec.adapter), EncodingSpec(**description["encoding"])
    checkpoints, digests = kept_checkpoints(spec.label, folder)
    provenance = read_json(folder / PROVENANCE)
    if provenance.get("encoding") != encoding.to_fields():
        raise ModelUnusable(
            f"The reference {spec.label!r} was trained with another template, maximum length or choice of replies than "
            f"the run {run!r} has. Train one as the run encodes its rows."
        )
    dataset, dtype = str(found["dataset"]), str(description["dtype"])
    return RunCheckpoints(dataset, base, encoding, dtype, spec, folder, checkpoints, digests, provenance)


def _reference_of(store: Store, description: dict[str, Any], run: str, name: str | None, base: ModelSpec) -> ModelSpec:
    """The LoRA reference whose checkpoints are used."""
    if "cross_fitted" in description if name is None else is_cross_fitted(name, store.workspace):
        whose = f"The reference of the run {run!r}" if name is None else f"The reference {name!r}"
        raise ModelUnusable(
            f"{whose} is cross-fitted: none of its models saw all rows, so none has checkpoints for all. Train one "
            f"with {OPTION} and without folds, and name it with --reference."
        )
    spec = resolve_model(name or str(description["models"]["reference"]["label"]), store.workspace, base)
    if spec.adapter is None:
        raise ModelUnusable(
            f"The reference {spec.label!r} is a full model, and only LoRA references keep checkpoints. Train one with "
            f"{OPTION}, and name it with --reference."
        )
    return spec
