"""Orders rows so that each next one adds most: score alone, spread alone, or both by weight.

K-center (Gonzalez 1985): the next row is farthest from those chosen. With the weight 1, the largest distance of a row
to its nearest chosen one is at most twice the least that is possible, for every number of rows.
Facility location: the next row adds most to the mean cosine of all rows to their nearest chosen one, and to the share
of the score. That sum never falls and is submodular, so the choice reaches at least 1 - 1/e = 63 % of the best possible
(Nemhauser, Wolsey, Fisher 1978); it is found lazily (Minoux 1978), since a row's gain never grows.

Cosines are products of whole numbers below 2^24, which float32 holds exactly whatever the order of summation: the same
vectors give the same rows on every machine.
"""

import heapq

import numpy as np
from numpy.typing import NDArray

_SCALE = 2.0**11
ONE = _SCALE**2
"""The product of a vector of length 1 with itself, as `whole_numbers`."""


def whole_numbers(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Vectors as whole numbers whose products are exact."""
    return np.asarray(np.rint(vectors.astype(np.float32) * np.float32(_SCALE)))


def greedy_order(method: str, vectors: NDArray[np.float16], weight: float, given: int = 0) -> NDArray[np.int64]:
    """The rows of `vectors` [rows x dimensions] in the order of choice. They come best score first; the score of a row
    is the share of the others that come after it. The first `given` rows are chosen already. `weight`: 0 is the score
    alone, 1 the spread alone. Ties go to the better score. Rows of zeros come last."""
    usable = np.flatnonzero(vectors.any(axis=1) | (np.arange(len(vectors)) < given))
    numbers = whole_numbers(vectors[usable])
    score = 1 - np.arange(len(usable)) / max(1, len(usable) - 1)
    chosen = usable[_METHODS[method](numbers, score, float(weight), given)]
    return np.concatenate([chosen, np.setdiff1d(np.arange(len(vectors)), usable)])


def k_center(numbers: NDArray[np.float32], score: NDArray[np.float64], weight: float, given: int) -> NDArray[np.int64]:
    """Next is the row with the largest (1 - weight) x score + weight x half the cosine distance to the nearest chosen
    row (1 before there is one)."""
    order = np.zeros(len(numbers), np.int64)
    nearest = np.full(len(numbers), -ONE, np.float32)
    left = np.ones(len(numbers), np.bool_)
    for step in range(len(numbers)):
        value = (1 - weight) * score + weight * (1 - nearest.astype(np.float64) / ONE) / 2
        pick = step if step < given else int(np.argmax(np.where(left, value, -np.inf)))
        order[step], left[pick] = pick, False
        nearest = np.maximum(nearest, numbers @ numbers[pick])
    return order


def facility_location(
    numbers: NDArray[np.float32], score: NDArray[np.float64], weight: float, given: int
) -> NDArray[np.int64]:
    """Next is the row that adds most to (1 - weight) x the share of the score + weight x the mean cosine (at least 0)
    of all rows to their nearest chosen one."""
    count = len(numbers)
    cosines = np.maximum(numbers @ numbers.T, 0)
    shares = (1 - weight) * score / max(score.sum(), 1)
    best = np.zeros(count, np.float32)

    def gain(row: int) -> float:
        added = np.maximum(cosines[row] - best, 0).sum(dtype=np.float64)
        return float(shares[row] + weight * added / (ONE * count))

    order = list(range(min(given, count)))
    for row in order:
        best = np.maximum(best, cosines[row])
    waiting = [(-gain(row), row) for row in range(len(order), count)]
    heapq.heapify(waiting)
    while waiting:
        _, row = heapq.heappop(waiting)
        now = (-gain(row), row)
        if waiting and now > waiting[0]:  # it adds less than it did, and another one may add more
            heapq.heappush(waiting, now)
            continue
        order.append(row)
        best = np.maximum(best, cosines[row])
    return np.array(order, np.int64)


_METHODS = {"k_center": k_center, "facility_location": facility_location}
