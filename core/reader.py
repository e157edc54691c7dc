"""Reader: what a query module needs of the store, so that it neither imports it nor DuckDB."""

from collections.abc import Sequence
from typing import Any, Protocol

import pandas as pd


class Reader(Protocol):
    """Something that answers SQL with `?` parameters; `core.store.Store` is one."""

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Rows of a query as a DataFrame."""

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query as tuples."""
