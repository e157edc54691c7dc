"""The store: the only user of DuckDB, and the only writer to a workspace."""

from .connection import STORE_VERSION
from .copying import put_in_place
from .dataset_changes import (
    RemovedDataset,
    checked_dataset_name,
    merge_dataset,
    purge_dataset,
    removed_datasets,
    rename_dataset,
    restore_dataset,
    set_dataset_aside,
)
from .imported_scores import (
    ImportedScore,
    ScoreOrigin,
    imported_scores,
    is_same_score,
    remove_imported_score,
    save_imported_scores,
)
from .near_duplicates import near_duplicate_set, near_duplicate_set_id
from .recipes import remove_recipe, rename_recipe, save_recipe, saved_recipe
from .store import Store

__all__ = [
    "STORE_VERSION",
    "ImportedScore",
    "RemovedDataset",
    "ScoreOrigin",
    "Store",
    "checked_dataset_name",
    "imported_scores",
    "is_same_score",
    "merge_dataset",
    "near_duplicate_set",
    "near_duplicate_set_id",
    "purge_dataset",
    "put_in_place",
    "remove_imported_score",
    "remove_recipe",
    "removed_datasets",
    "rename_dataset",
    "rename_recipe",
    "restore_dataset",
    "save_imported_scores",
    "save_recipe",
    "saved_recipe",
    "set_dataset_aside",
]
