"""Reader: what a query module needs of the store, so that it neither imports it nor DuckDB."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa


class Reader(Protocol):
    """Something that answers SQL with `?` parameters; `core.store.Store` is one."""

    def frame(self, sql: str, parameters: Sequence[object] = ()) -> pd.DataFrame:
        """Rows of a query as a DataFrame."""

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query as tuples."""

    def derived(
        self, kind: str, sql: str, parameters: Sequence[object], compute: Callable[[pa.Table], pd.DataFrame]
    ) -> pd.DataFrame:
        """What `compute` makes of a query's rows, kept like them; `kind` tells one computation from another."""
