"""References whose models are trained elsewhere: the file of folds to train them by, and their name here."""

from typing import Any

from ..data.errors import FoldsUnusable
from ..data.folds import assign_folds, check_folding
from ..models.cross_fitted import add_cross_fitted
from ..models.folds_file import read_folds, write_folds
from ..models.resolving import resolve_model
from ..scoring.planning import compare_models, count_rows
from ..store import Store
from ..store.example_domains import grouped_examples
from ..system.paths import named_path
from ..system.workspace_files import check_output
from ..training.training_plan import check_new_name
from .running import Wait, group_near_duplicates

_SUFFIXES = (".parquet", ".csv")


def write_dataset_folds(
    store: Store, dataset: str, folds: int, held_out: float, seed: int, threshold: float, output: str, wait: Wait
) -> dict[str, Any]:
    """Write the folds of a dataset's examples, near-duplicates in one fold, as `train` would make them.

    Searches for near-duplicates first if there is no up-to-date search at the threshold. Fields: dataset, path,
    examples, groups, held_out, folds (examples by fold, without those held out), threshold. Raises `FoldsUnusable`.
    """
    check_folding(folds, held_out)
    count_rows(store, dataset)
    path = named_path(output)
    if path.suffix not in _SUFFIXES:
        raise FoldsUnusable(f"{output!r} has an unknown suffix. Write folds into a file that ends in .parquet or .csv.")
    check_output(path, store.workspace)
    if not path.parent.is_dir():
        raise FoldsUnusable(f"There is no folder {str(path.parent)!r} to write the folds into. Make it first.")
    group_near_duplicates(store, dataset, threshold, wait)
    found = assign_folds(grouped_examples(store, dataset, threshold), folds, held_out, seed)
    write_folds(path, found)
    sizes = found.loc[~found["held_out"], "fold"].value_counts().sort_index()
    return {
        "dataset": dataset,
        "path": str(path),
        "examples": len(found),
        "groups": int(found["group"].nunique()),
        "held_out": int(found["held_out"].sum()),
        "folds": {str(fold): int(size) for fold, size in sizes.items()},
        "threshold": threshold,
    }


def add_reference(store: Store, name: str, models: list[str], folds_file: str, base: str) -> dict[str, Any]:
    """Name models that were trained elsewhere as one cross-fitted reference; see `add_cross_fitted` for their order.

    Fields: name, path, folds, seeds, held_out, models. Raises `NameTaken`, `FoldsUnusable`, `ModelUnusable` or
    `TokenizerMismatch`.
    """
    folder = check_new_name(store.workspace, name)
    folds = read_folds(named_path(folds_file))
    spec = resolve_model(base, store.workspace)
    for model in models:
        compare_models(spec, resolve_model(model, store.workspace, spec))
    made = add_cross_fitted(store.workspace, name, models, folds, spec)
    return {
        "name": name,
        "path": str(folder),
        "folds": made.fold_count,
        "seeds": len(made.seeds),
        "held_out": made.held_out,
        "models": [model.spec.label for model in made.models],
    }
