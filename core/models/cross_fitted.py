"""Cross-fitted references: several models under one name, each trained without one fold of the rows.

Every row is judged by the models that never saw it or a near-duplicate of it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.errors import FoldsUnusable, ModelUnusable
from ..data.folds import fold_count, trained_rows
from ..system.atomic_files import published_folder
from ..system.workspace_files import make_private_folder
from .folder_check import read_json
from .folds_file import FOLDS_FILE, read_folds, write_folds
from .provenance import FILES, damages, listed_files, provenance_bytes
from .resolving import (
    FOLD_MODEL,
    PROVENANCE,
    ModelSpec,
    lasting_name,
    resolve_model,
    trained_examples,
    trained_references,
)


@dataclass(frozen=True, slots=True)
class FoldModel:
    """One model of a cross-fitted reference: `fold` is what it never saw; `role` names its losses in a job."""

    fold: int
    seed: int
    spec: ModelSpec

    @property
    def role(self) -> str:
        return f"fold-{self.fold}-seed-{self.seed}"


@dataclass(frozen=True)
class CrossFitted:
    """A cross-fitted reference: its models and the fold of each example (`core.data.folds.FOLDS_SCHEMA`)."""

    name: str
    models: tuple[FoldModel, ...]
    folds: pd.DataFrame

    @property
    def seeds(self) -> list[int]:
        return sorted({model.seed for model in self.models})

    @property
    def fold_count(self) -> int:
        return len({model.fold for model in self.models})

    @property
    def held_out(self) -> int:
        """Number of examples that no model was trained on."""
        return int(self.folds["held_out"].sum())

    def trained_examples(self, model: FoldModel) -> list[str]:
        """Ids of the examples that a model was trained on."""
        trained: list[str] = self.folds.loc[trained_rows(self.folds, model.fold), "example_id"].tolist()
        return trained

    def to_fields(self) -> dict[str, Any]:
        """What a run records of it."""
        return {
            "name": self.name,
            "folds": self.fold_count,
            "seeds": self.seeds,
            "held_out": self.held_out,
            "models": [{"role": model.role, "fold": model.fold, "seed": model.seed} for model in self.models],
        }


def is_cross_fitted(name: str, workspace: Path) -> bool:
    """Whether a reference of that name in the workspace has several models."""
    return name in trained_references(workspace) and "cross_fitted" in read_json(
        workspace / "models" / name / PROVENANCE
    )


def cross_fitted(name: str, workspace: Path, base: ModelSpec) -> CrossFitted:
    """The cross-fitted reference of that name.

    Raises `ModelUnusable` or `FoldsUnusable` if it is damaged, or a model that was trained elsewhere is another one
    now: models that changed places would judge the rows that they saw.
    """
    folder = workspace / "models" / name
    try:
        listed = read_json(folder / PROVENANCE)["cross_fitted"]["models"]
        models = tuple(
            FoldModel(int(one["fold"]), int(one["seed"]), resolve_model(_name_of(name, one["model"]), workspace, base))
            for one in listed
        )
        changed = [one["model"] for one, model in zip(listed, models, strict=True) if _is_another(one, model.spec)]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnusable(f"The reference {name!r} is damaged: {folder / PROVENANCE} cannot be read.") from error
    if changed:
        raise ModelUnusable(
            f"The model {changed[0]!r} of the reference {name!r} is not the one that was named by add-reference. Put "
            "its files back, or name the models again under a new name."
        )
    for sentence in damages(folder, read_json(folder / PROVENANCE), (FOLDS_FILE,)):
        raise FoldsUnusable(f"The folds of the reference {name!r} are damaged: {sentence} Train it again.")
    return CrossFitted(name, models, read_folds(folder / FOLDS_FILE))


def add_cross_fitted(
    workspace: Path, name: str, models: list[str], folds: pd.DataFrame, base: ModelSpec
) -> CrossFitted:
    """Name models that were trained elsewhere as one reference. They are given by fold, seed after seed.

    The model of fold f is the one that never saw the rows of fold f. Raises `FoldsUnusable` if their number does not
    fit the folds or a model is known to have seen rows that it should judge, `ModelUnusable` for an unusable model.
    """
    count = fold_count(folds, "The file of folds")
    if count < 2 or not models or len(models) % count:
        raise FoldsUnusable(
            f"{len(models)} models were given for {count} folds. Give one for each fold, in the order of the folds; "
            "several seeds one after another."
        )
    specs = [resolve_model(model, workspace, base) for model in models]
    for place, spec in enumerate(specs):
        _check_unseen(spec, folds, place % count)
    if len({spec.weights_hash for spec in specs}) < len(specs):
        raise FoldsUnusable(
            "Two of the models are the same, so one of them has seen the rows of its fold, or two seeds are one. Give "
            "a model of its own for each fold and seed."
        )
    listed = [
        {
            "model": lasting_name(model, workspace),
            "fold": place % count,
            "seed": place // count,
            "weights_hash": spec.weights_hash,
        }
        for place, (model, spec) in enumerate(zip(models, specs, strict=True))
    ]
    folder = workspace / "models" / name
    make_private_folder(folder.parent)
    with published_folder(folder) as unfinished:
        write_folds(unfinished / FOLDS_FILE, folds)
        provenance = {
            "name": name,
            "base": base.label,
            "base_weights_hash": base.weights_hash,
            "cross_fitted": {"models": listed},
            FILES: listed_files(unfinished),
        }
        (unfinished / PROVENANCE).write_bytes(provenance_bytes(provenance))
    return cross_fitted(name, workspace, base)


def combined_key(kind: str, fingerprints: list[str]) -> str:
    """The model fingerprint of losses that are combined from several models' losses."""
    text = json.dumps([kind, sorted(fingerprints)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _name_of(reference: str, model: str) -> str:
    return f"{reference}/{model}" if FOLD_MODEL.fullmatch(model) else model


def _is_another(listed: dict[str, Any], model: ModelSpec) -> bool:
    """Whether a model is not the one that was listed; only models that were trained elsewhere have a hash there,
    and none that versions up to 0.8.0 listed."""
    return bool(listed.get("weights_hash", model.weights_hash) != model.weights_hash)


def _check_unseen(model: ModelSpec, folds: pd.DataFrame, fold: int) -> None:
    """Raise `FoldsUnusable` if a model that was trained here has seen rows that it is to judge."""
    judged = folds.loc[~trained_rows(folds, fold), "example_id"]
    seen = len(set(judged) & set(trained_examples(model)))
    if seen:
        raise FoldsUnusable(
            f"The model {model.label!r} is given for fold {fold}, but it was trained on {seen:,} of the rows that it "
            "would judge (fold or held out). Give the models in the order of the folds that they never saw."
        )
