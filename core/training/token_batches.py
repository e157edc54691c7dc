"""Training batches of rows of similar length under a token budget."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from ..engine.packing import plan_batches


class TokenBatchSampler(Sampler[list[int]]):
    """Batches of rows of like length under a token budget, in an order that seed and epoch decide."""

    def __init__(self, lengths: list[int], token_budget: int, seed: int) -> None:
        self._lengths, self._budget, self._seed = lengths, token_budget, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self._epoch = epoch

    def batches(self, epoch: int) -> list[list[int]]:
        """The epoch's batches: rows are shuffled, cut into pools, sorted by length within a pool, and batches shuffled.

        A pool of a few dozen batches keeps padding low without putting all long rows next to each other.
        """
        random = np.random.default_rng((self._seed, epoch))
        shuffled = random.permutation(len(self._lengths))
        pool_rows = max(1, 32 * self._budget // max(1, int(np.mean(self._lengths))))
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), pool_rows):
            pool = shuffled[start : start + pool_rows]
            planned = plan_batches([self._lengths[row] for row in pool], self._budget)
            batches += [[int(pool[index]) for index in batch.rows] for batch in planned]
        return [batches[index] for index in random.permutation(len(batches))]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches(self._epoch))

    def __len__(self) -> int:
        return len(self.batches(0))
