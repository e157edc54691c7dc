"""The loss plane: row counts by base loss and reference loss, binned in SQL over every row."""

from dataclasses import dataclass

import pandas as pd

from ..data.filters import RowFilter
from ..data.reader import Reader

POINTS_LIMIT = 3_000
"""Up to this many rows are drawn as points, more as a density."""
_TAIL = 0.995
_BOTH = "base_loss IS NOT NULL AND reference_loss IS NOT NULL"


@dataclass(frozen=True, slots=True)
class LossPlane:
    """Counts on a square of `size` bins a side from 0 to `high` [nats per token] on both axes.

    `cells`: domain, base_bin, reference_bin (from 0), rows; empty cells are omitted. `outside` counts rows above
    `high`, `rows` all rows with both losses; the medians are over those [nats per token].
    """

    high: float
    size: int
    cells: pd.DataFrame
    rows: int
    outside: int
    base_median: float
    reference_median: float

    @property
    def bin_width(self) -> float:
        """Width of a bin [nats per token]."""
        return self.high / self.size


def loss_plane(store: Reader, table: str, row_filter: RowFilter, bins: int = 80) -> LossPlane | None:
    """Density of rows over base loss and reference loss; None if no row has both."""
    condition, values = row_filter.where()
    rows = f"FROM {table} WHERE ({condition}) AND {_BOTH}"
    count, base_median, reference_median, high = store.rows(
        f"SELECT count(*), median(base_loss), median(reference_loss), "
        f"quantile_cont(greatest(base_loss, reference_loss), {_TAIL}) {rows}",
        values,
    )[0]
    if not count:
        return None
    high = float(high) or 1.0
    cells = store.frame(
        f"""
        SELECT domain, least(floor(base_loss / ?)::INTEGER, {bins - 1:d}) AS base_bin,
            least(floor(reference_loss / ?)::INTEGER, {bins - 1:d}) AS reference_bin, count(*) AS rows
        {rows} AND greatest(base_loss, reference_loss) <= ?
        GROUP BY ALL ORDER BY ALL
        """,
        [high / bins, high / bins, *values, high],
    )
    outside = int(count) - int(cells["rows"].sum())
    return LossPlane(high, bins, cells, int(count), outside, float(base_median), float(reference_median))


def loss_points(store: Reader, table: str, row_filter: RowFilter) -> pd.DataFrame:
    """Individual rows: row_number, domain, base_loss, reference_loss [nats per token], learnability, token_count.

    At most `POINTS_LIMIT`, in row order.
    """
    condition, values = row_filter.where()
    return store.frame(
        f"SELECT row_number, domain, base_loss, reference_loss, learnability, token_count FROM {table} "
        f"WHERE ({condition}) AND {_BOTH} ORDER BY row_number LIMIT {POINTS_LIMIT}",
        values,
    )
