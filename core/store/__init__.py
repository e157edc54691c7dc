"""The store: the only user of DuckDB, and the one process that may write to a workspace."""

from core.store.connection import STORE_VERSION
from core.store.store import Store, scored_table

__all__ = ["STORE_VERSION", "Store", "scored_table"]
