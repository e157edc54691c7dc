"""Rank correlation: Spearman of one column with others over every row of a query, and within each domain.

DuckDB reads the rows and numpy ranks them: SQL window functions, which move whole rows in every sort, are much slower.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..data.filters import Query
from ..data.reader import Reader

Values = NDArray[Any]
Ranks = NDArray[np.float64]
_THREADS = 2  # numpy releases the GIL while sorting


def rank_correlations(store: Reader, rows: Query, column: str, others: Sequence[str], table: str) -> pd.DataFrame:
    """Spearman of `column` with each of `others`: first over all rows (`overall` true, domain empty), then by domain.

    `rows` yields domain and the columns, none of them NULL; `table` has all of its domains. Columns: overall, domain,
    rows, spearman_<other>: the correlation of average ranks (ties share their mean rank); NaN if one side is
    constant.
    """
    sql, values = rows
    domains = [str(name) for (name,) in store.rows(f"SELECT DISTINCT domain FROM {table} ORDER BY domain")]
    known = f"SELECT unnest(?::VARCHAR[]) AS domain, unnest(range({len(domains):d}))::INTEGER + 1 AS number"
    compute = partial(_correlations, domains=domains, column=column, others=others)
    numbered = f"SELECT number, {', '.join((column, *others))} FROM ({sql}) JOIN ({known}) USING (domain)"
    return store.derived("rank correlations", numbered, [*values, domains], compute)


def spearman(values: Values, beside: Values) -> float:
    """Spearman of two columns of equal length without NaN; the result is NaN if one of them is constant."""
    if len(values) < 2:
        return float("nan")
    ordered, ranks = _in_order(values, average_ranks(beside))
    # Centred on the mean rank, which is the same for both, to avoid cancellation with large counts.
    mean = (len(values) + 1) / 2
    left, right = _ranks_in_order(ordered) - mean, ranks - mean
    spread = float(np.square(left).sum()) * float(np.square(right).sum())
    return float((left * right).sum()) / spread**0.5 if spread else float("nan")


def average_ranks(values: Values) -> Ranks:
    """Rank of each value, 1 for the lowest; ties share their mean rank."""
    if np.issubdtype(values.dtype, np.integer) and values.size and 0 <= values.min() <= values.max() < 2 * values.size:
        counts = np.bincount(values)  # lengths in tokens have few unique values: counting is faster than sorting
        return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[values])
    order = np.argsort(values)
    ranks = np.empty(len(values))
    ranks[order] = _ranks_in_order(values[order])
    return ranks


def _correlations(table: pa.Table, domains: Sequence[str], column: str, others: Sequence[str]) -> pd.DataFrame:
    numbers, *columns = (table.column(name).to_numpy() for name in ("number", column, *others))
    if np.any(numbers[1:] < numbers[:-1]):
        order = np.argsort(numbers, kind="stable")
        numbers, *columns = (values[order] for values in (numbers, *columns))
    starts = np.searchsorted(numbers, np.arange(1, len(domains) + 2)).tolist()
    parts = [slice(0, len(numbers)), *(slice(*ends) for ends in pairwise(starts))]
    beside, *scores = columns
    asked = [(score[part], beside[part]) for part in parts for score in scores] if len(numbers) else []
    with ThreadPoolExecutor(_THREADS) as threads:
        found = list(threads.map(lambda pair: spearman(*pair), asked))
    frame = pd.DataFrame({"overall": [True] + [False] * len(domains), "domain": ["", *domains]})
    frame["rows"] = [part.stop - part.start for part in parts]
    for place, other in enumerate(others):
        frame[f"spearman_{other}"] = found[place :: len(others)] or np.nan
    return frame[frame["rows"] > 0].reset_index(drop=True)


def _in_order(values: Values, beside: Values) -> tuple[Values, Values]:
    """Both columns in the ascending order of the first."""
    if np.all(values[1:] <= values[:-1]):  # a scored table is in descending order
        return values[::-1], beside[::-1]
    order = np.argsort(values)
    return values[order], beside[order]


def _ranks_in_order(ordered: Values) -> Ranks:
    """Average ranks of values in ascending order."""
    ranks = np.arange(1.0, len(ordered) + 1)
    equal = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not equal.size:
        return ranks
    breaks = np.flatnonzero(np.diff(equal) > 1)
    first = equal[np.concatenate([[0], breaks + 1])]
    last = equal[np.concatenate([breaks, [equal.size - 1]])] + 1
    lengths = last - first + 1
    places = np.arange(lengths.sum()) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
    ranks[places] = np.repeat((first + last) / 2 + 1, lengths)
    return ranks
