"""How like the rows of a target set each row is, by the cosine of their embeddings (RDS+, arXiv 2503.01807).

Round robin: every target in turn takes its next best row; a row is placed where it is first taken. So the place of a
row is decided by its best rank among all targets, and of equal ranks the earlier target comes first. Beside it stands
the plain maximum: the cosine to the nearest target.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...data.taking_order import shares_taken_after
from ...store.embedding_files import Embeddings, float_units

_CELLS = 2**24
"""Cosines held at once: 64 MB."""
_ROWS = 65536


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of each row: `order`, the share of the other rows that round robin takes after it (1: the first); `highest`, the
    cosine to its nearest target, both NaN for a row without a vector; `nearest`, that target's index, -1 without."""

    order: NDArray[np.float64]
    highest: NDArray[np.float64]
    nearest: NDArray[np.int64]


def likeness(rows: Embeddings, targets: Embeddings, report: Callable[[float], None] = lambda _: None) -> Likeness:
    """Compare all rows with all targets, in bounded memory. Rows of equal cosine are taken in the order of their ids.

    `report` gets the share done, 0 to 1.
    """
    usable = np.flatnonzero(rows.usable)
    usable = usable[np.argsort(rows.ids[usable])]
    aims = np.flatnonzero(targets.usable)
    count = len(usable)
    best_rank, best_target = np.full(count, count, np.int64), np.zeros(count, np.int64)
    highest, nearest = np.full(count, -np.inf), np.zeros(count, np.int64)
    block = max(1, _CELLS // max(1, count))
    for start in range(0, len(aims), block):
        cosines = _cosines(rows, usable, float_units(targets.vectors[aims[start : start + block]]))
        for column, aim in enumerate(aims[start : start + block].tolist()):
            mine = cosines[column]
            rank = np.empty(count, np.int64)
            rank[np.argsort(-mine, kind="stable")] = np.arange(count)
            earlier, nearer = rank < best_rank, mine > highest
            best_rank[earlier], best_target[earlier] = rank[earlier], aim
            highest[nearer], nearest[nearer] = mine[nearer], aim
        report(min(1.0, (start + block) / len(aims)))
    total = len(rows.ids)
    found = Likeness(np.full(total, np.nan), np.full(total, np.nan), np.full(total, -1, np.int64))
    if len(aims):
        found.order[usable] = shares_taken_after(np.lexsort((best_target, best_rank)))
        found.highest[usable], found.nearest[usable] = highest, nearest
    return found


def _cosines(rows: Embeddings, usable: NDArray[np.int64], targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines [targets x usable rows]."""
    found = np.empty((len(targets), len(usable)), np.float32)
    for start in range(0, len(usable), _ROWS):
        part = usable[start : start + _ROWS]
        found[:, start : start + len(part)] = targets @ float_units(rows.vectors[part]).T
    return found
