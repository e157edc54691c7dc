"""An order in which rows are taken, as a value of each row."""

import numpy as np
from numpy.typing import NDArray


def shares_taken_after(order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each row, the share of the other rows that are taken after it (1: it is the first), by the rows in order."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return 1 - place / max(1, len(order) - 1)
