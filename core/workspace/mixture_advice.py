"""Finds the training records of a run's or a workspace's reference, and reads what is left to learn from them."""

from pathlib import Path

from ..data.errors import NotFound
from ..data.listing import listed
from ..evidence.learning_left import DomainLearning, learning_left
from ..evidence.training_records import trained_models
from ..models.folder_check import read_json
from ..models.provenance import PROVENANCE
from ..store import Store
from ..system.paths import is_folder_name


def run_learning(store: Store, run: str) -> list[DomainLearning]:
    """`learning_left` of a run's reference. Raises `NotFound` as well for a run without a trained reference."""
    found = store.run(run)
    folders = [model.folder for model in trained_models(found)] if found["description"].get("models") else []
    if not folders:
        raise NotFound(f"The run {run!r} does not say which models it has. Name a reference with --reference.")
    return learning_left(folders)


def reference_learning(workspace: Path, name: str) -> list[DomainLearning]:
    """`learning_left` of a reference that was trained in this workspace. Raises `NotFound` as well if there is none of
    that name."""
    models = workspace / "models"
    if not is_folder_name(name) or not (models / name / PROVENANCE).is_file():
        known = sorted(path.parent.name for path in models.glob(f"*/{PROVENANCE}"))
        raise NotFound(f"No reference is named {name!r}. There are: {listed(known) if known else 'none'}.")
    folder = models / name
    cross = read_json(folder / PROVENANCE).get("cross_fitted") or {}
    return learning_left([folder / str(one["model"]) for one in cross.get("models", ())] or [folder])
