"""The store: the only user of DuckDB, and the only writer to a workspace."""

from .connection import STORE_VERSION
from .copying import put_in_place
from .dataset_changes import (
    RemovedDataset,
    merge_dataset,
    purge_dataset,
    removed_datasets,
    rename_dataset,
    restore_dataset,
    set_dataset_aside,
)
from .near_duplicates import near_duplicate_set, near_duplicate_set_id
from .recipes import remove_recipe, rename_recipe, save_recipe, saved_recipe
from .store import Store

__all__ = [
    "STORE_VERSION",
    "RemovedDataset",
    "Store",
    "merge_dataset",
    "near_duplicate_set",
    "near_duplicate_set_id",
    "purge_dataset",
    "put_in_place",
    "remove_recipe",
    "removed_datasets",
    "rename_dataset",
    "rename_recipe",
    "restore_dataset",
    "save_recipe",
    "saved_recipe",
    "set_dataset_aside",
]
