"""The store: the only user of DuckDB, and the one process that may write to a workspace."""

from core.store.connection import STORE_VERSION
from core.store.copying import put_in_place
from core.store.near_duplicates import near_duplicate_set, near_duplicate_set_id
from core.store.recipes import remove_recipe, rename_recipe, save_recipe, saved_recipe
from core.store.store import Store

__all__ = [
    "STORE_VERSION",
    "Store",
    "near_duplicate_set",
    "near_duplicate_set_id",
    "put_in_place",
    "remove_recipe",
    "rename_recipe",
    "save_recipe",
    "saved_recipe",
]
