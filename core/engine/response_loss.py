"""The loss of each response under a model, given its prompt.

    nll_sum = - sum over scored t of log p(y_t | x, y_<t)    [nats]; METHOD: LoBaSS / DavIR, arXiv 2310.13008

Rows are sorted by length and split into batches within a token budget; `core.engine.loss_engine` computes these.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.encoded import Encoded
from .batch_budget import BatchBudget
from .loss_engine import LossEngine
from .pack_tensors import PackTensors

NOISE_ROWS = 8
"""Rows that each model computes twice, in a batch and alone, to measure its noise."""


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Losses of one batch: row indices, and for each engine their nll_sum [nats], float64, in the same order.

    tokens: number of tokens of the rows, counted once. ends_by_engine: the part of each nll_sum on tokens that end a
    reply [nats].
    """

    rows: tuple[int, ...]
    by_engine: tuple[NDArray[np.float64], ...]
    tokens: int
    ends_by_engine: tuple[NDArray[np.float64], ...]

    @property
    def nll_sums(self) -> NDArray[np.float64]:
        """The sums of the only engine."""
        return self.by_engine[0]


class ResponseScorer:
    """Losses under one model, or several that share weights; remembers which batch size fits.

    `report` gets a line when GPU memory runs out: the batch size is halved and scoring continues.
    """

    def __init__(
        self, engines: Sequence[LossEngine], token_budget: int, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self._engines, self._budget = engines, BatchBudget(token_budget, report)
        # Batches that an engine has to pad must fit when padded.
        self._planner = next((engine for engine in engines if not engine.packs), engines[0])

    def losses(self, encoded: Sequence[Encoded]) -> Iterator[BatchLosses]:
        """Losses of all rows that have a scored token, batch by batch.

        Raises `ModelUnusable` if one row alone does not fit.
        """
        scored = [row for row, item in enumerate(encoded) if item.reason is None]
        return self._budget.computed(encoded, scored, lambda rows, budget: self._batches(encoded, rows, budget))

    def _batches(self, encoded: Sequence[Encoded], wanted: Sequence[int], budget: int) -> Iterator[BatchLosses]:
        lengths = [len(encoded[row].input_ids) for row in wanted]
        batches = [tuple(wanted[index] for index in batch.rows) for batch in self._planner.plan(lengths, budget)]
        for rows, items, pack in self._packed_ahead(batches, encoded):
            sums = [engine.row_sums(items, pack) for engine in self._engines]
            tokens = sum(len(item.input_ids) for item in items)
            nll_sums, end_sums = zip(*sums, strict=True)
            yield BatchLosses(rows, nll_sums, tokens, end_sums)

    def _packed_ahead(
        self, batches: Sequence[tuple[int, ...]], encoded: Sequence[Encoded]
    ) -> Iterator[tuple[tuple[int, ...], list[Encoded], PackTensors | None]]:
        """Each batch with its rows and, on a GPU, its pack, made while the previous batch computes."""
        items = ([encoded[row] for row in batch] for batch in batches)
        if not self._planner.packs_ahead:
            yield from ((rows, batch, None) for rows, batch in zip(batches, items, strict=True))
            return
        with ThreadPoolExecutor(1) as thread:
            ahead: deque[tuple[tuple[int, ...], list[Encoded], Future[PackTensors | None]]] = deque()
            for rows, batch in zip(batches, items, strict=True):
                ahead.append((rows, batch, thread.submit(self._planner.prepare, batch)))
                if len(ahead) > 1:
                    yield _with_result(*ahead.popleft())
            while ahead:
                yield _with_result(*ahead.popleft())


def _with_result(
    rows: tuple[int, ...], items: list[Encoded], pack: Future[PackTensors | None]
) -> tuple[tuple[int, ...], list[Encoded], PackTensors | None]:
    return rows, items, pack.result()


def response_losses(
    model: torch.nn.Module,
    encoded: Sequence[Encoded],
    token_budget: int,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[BatchLosses]:
    """Losses of all rows under one model; like `ResponseScorer`."""
    engine = LossEngine(model)
    report(engine.path)
    yield from ResponseScorer([engine], token_budget, report).losses(encoded)


def measure_noise(model: torch.nn.Module | LossEngine, encoded: Sequence[Encoded]) -> float:
    """The noise floor: how far a loss moves when only the rest of the batch changes [nats per token].

    The largest difference, over a few rows, between a row computed alone and in a batch. Smaller differences between
    two models' losses are not significant.
    """
    engine = model if isinstance(model, LossEngine) else LossEngine(model)
    usable = sorted((item for item in encoded if item.reason is None), key=lambda item: len(item.input_ids))
    step = max(1, len(usable) // NOISE_ROWS)
    sample = usable[::step][:NOISE_ROWS]
    while True:
        if not sample:
            return 0.0
        try:
            together = engine.nll_sums(sample)
            alone = np.concatenate([engine.nll_sums([item]) for item in sample])
            break
        except torch.cuda.OutOfMemoryError:
            sample = sample[: len(sample) // 2]  # the shorter ones
    counts = np.array([item.token_count for item in sample])
    moved = np.abs(together - alone) / counts
    finite = moved[np.isfinite(moved)]
    return float(finite.max()) if len(finite) else 0.0
