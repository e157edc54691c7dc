"""Batches that fit in a GPU's memory: when it runs out, their size is halved and the rows left are tried again."""

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import suppress
from typing import Protocol, TypeVar

import torch

from ..data.errors import ModelUnusable


class _OfRows(Protocol):
    @property
    def rows(self) -> tuple[int, ...]: ...


class HasTokens(Protocol):
    """A row whose tokens count."""

    @property
    def input_ids(self) -> Sized: ...


Batch = TypeVar("Batch", bound=_OfRows)


class BatchBudget:
    """The batch size that fits [tokens]; `report` gets a line when it is halved."""

    def __init__(self, tokens: int, report: Callable[[str], None]) -> None:
        self._tokens, self._report = tokens, report

    def computed(
        self,
        encoded: Sequence[HasTokens],
        wanted: Sequence[int],
        compute: Callable[[list[int], int], Iterator[Batch]],
    ) -> Iterator[Batch]:
        """What `compute` gives for the `wanted` rows, by their index, and a batch size, until every row is in a batch.

        Raises `ModelUnusable` if one row alone does not fit.
        """
        waiting = list(wanted)
        while waiting:
            done: set[int] = set()
            with suppress(torch.cuda.OutOfMemoryError):  # the error's traceback keeps the batch's tensors alive until
                # here
                for batch in compute(waiting, self._tokens):
                    done.update(batch.rows)
                    yield batch
            waiting = [row for row in waiting if row not in done]
            if waiting:  # memory ran out
                self._tokens = smaller_budget(self._tokens, [encoded[row] for row in waiting])
                self._report(f"GPU memory ran out; continuing with a batch size of {self._tokens:,} tokens")


def smaller_budget(budget: int, rows: Sequence[HasTokens]) -> int:
    """A smaller batch size for these rows, after GPU memory ran out with `budget` [tokens].

    Raises `ModelUnusable` if one row alone did not fit.
    """
    torch.cuda.empty_cache()
    longest = max(len(row.input_ids) for row in rows)
    if budget <= longest:
        raise ModelUnusable(
            f"GPU memory ran out on a single row of {longest:,} tokens. Lower --max-length, or free GPU memory."
        )
    return max(longest, budget // 2)
