"""The store: the only user of DuckDB, and the only writer to a workspace."""

from .connection import STORE_VERSION
from .copying import put_in_place
from .near_duplicates import near_duplicate_set, near_duplicate_set_id
from .recipes import remove_recipe, rename_recipe, save_recipe, saved_recipe
from .store import Store

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
