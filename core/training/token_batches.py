"""Training batches of rows of similar length: for passes over the data, or for a number of tokens."""

import math
from collections.abc import Iterator
from itertools import accumulate, count, islice

import numpy as np
from torch.utils.data import Sampler

from ..engine.packing import plan_batches


class TokenBatchSampler(Sampler[list[int]]):
    """Batches of rows of like length under a token budget, `epochs` passes, each in an order of its own from the seed.

    All passes are one epoch to the Trainer: it asks a batch sampler for no other order after the first epoch, and a
    training that is resumed skips to a step, not to an epoch.
    """

    def __init__(self, lengths: list[int], token_budget: int, seed: int, epochs: float) -> None:
        self._lengths, self._budget, self._seed = lengths, token_budget, seed
        whole, part = divmod(epochs, 1)
        ends = list(accumulate(len(self._pass(number)) for number in range(int(whole))))
        self.passes = {end: float(number) for number, end in enumerate(ends, 1)}
        """The number of passes that end with a step, by step; the last may be a part of one."""
        if part or not ends:
            # Rounded, because 2.1 - 2 is a little more than 0.1, which must not be a step more.
            steps = max(1, math.ceil(round(len(self._pass(len(ends))) * part, 6)))
            self.passes[(ends[-1] if ends else 0) + steps] = epochs
        self._steps = max(self.passes)

    def _pass(self, number: int) -> list[list[int]]:
        """One pass: rows are shuffled, cut into pools, sorted by length within a pool, and batches shuffled.

        A pool of a few dozen batches keeps padding low without putting all long rows next to each other.
        """
        random = np.random.default_rng((self._seed, number))
        shuffled = random.permutation(len(self._lengths))
        pool_rows = max(1, 32 * self._budget // max(1, int(np.mean(self._lengths))))
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), pool_rows):
            pool = shuffled[start : start + pool_rows]
            planned = plan_batches([self._lengths[row] for row in pool], self._budget)
            batches += [[int(pool[index]) for index in batch.rows] for batch in planned]
        return [batches[index] for index in random.permutation(len(batches))]

    def __iter__(self) -> Iterator[list[int]]:
        return islice((batch for number in count() for batch in self._pass(number)), self._steps)

    def __len__(self) -> int:
        return self._steps


class BudgetSampler(Sampler[list[int]]):
    """Exactly `steps` batches of nearly equal size that hold `budget` tokens together, whatever the rows.

    `sizes` are the tokens of each row that count: input tokens, or scored tokens. Rows are taken pass after pass, and
    sorted by length within pools as in `TokenBatchSampler`. A batch begins where the tokens so far pass a multiple of
    budget / steps, so two sets of rows differ by less than one row.
    """

    def __init__(self, sizes: list[int], lengths: list[int], budget: int, steps: int, seed: int) -> None:
        self._sizes, self._lengths = sizes, lengths
        self._budget, self._steps, self._seed = budget, steps, seed
        self._batches = self._planned()
        self.passes = {len(self._batches): 1.0}
        """As of `TokenBatchSampler`; the whole budget counts as one."""

    def _planned(self) -> list[list[int]]:
        batches: list[list[int]] = [[] for _ in range(self._steps)]
        random, taken = np.random.default_rng((self._seed, 0)), 0
        while taken < self._budget:
            for row in self._pooled(random):
                over = taken + self._sizes[row] - self._budget
                if taken and over > self._budget - taken:
                    taken = self._budget  # nearer to the budget without this row
                    break
                batches[min(self._steps - 1, taken * self._steps // self._budget)].append(row)
                taken += self._sizes[row]
                if taken >= self._budget:
                    break
        filled = [batch for batch in batches if batch]  # a row larger than a step leaves the next one empty
        return [filled[index] for index in random.permutation(len(filled))]

    def _pooled(self, random: np.random.Generator) -> Iterator[int]:
        shuffled = random.permutation(len(self._sizes))
        a_step = self._budget / self._steps
        pool_rows = max(1, int(32 * a_step / max(1.0, float(np.mean(self._sizes)))))
        for start in range(0, len(shuffled), pool_rows):
            pool = shuffled[start : start + pool_rows]
            yield from (int(row) for row in pool[np.argsort([self._lengths[row] for row in pool], kind="stable")])

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)
