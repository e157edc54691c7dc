"""One vector for each row: the mean of a model's last hidden states, weighted by position (RDS+, arXiv 2503.01807).

    v = sum_t t h_t / sum_t t, over all n tokens of the row, t = 1 .. n

The states are those of the engine's packed passes; a row does not depend on what it is packed with.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.encoded import Encoded
from ..data.errors import ModelUnusable
from .batch_budget import BatchBudget
from .loss_engine import LossEngine
from .matrix_products import products_by
from .model_parts import padded, trunk_states
from .pack_tensors import PackTensors
from .packing import Pack, pack_rows


@dataclass(frozen=True, slots=True)
class BatchVectors:
    """Vectors [rows x width, float32] of one batch: row indices, in the same order, and the rows' tokens."""

    rows: tuple[int, ...]
    vectors: NDArray[np.float32]
    tokens: int


class EmbeddingEngine(LossEngine):
    """A loaded causal language model that gives each row a vector."""

    @torch.inference_mode()
    def vectors(self, rows: Sequence[Encoded]) -> NDArray[np.float32]:
        """The vector of each row [rows x width, float32], computed in one batch. Every row needs a token.

        Raises `ModelUnusable` if the model does not give its hidden states.
        """
        if len(rows) > 1 and any(self._is_alone(len(row.input_ids)) for row in rows):
            return np.concatenate([self.vectors([row]) for row in rows])
        with self._side(), products_by(self.choice.products, self._device, self._dtype):
            alone = len(rows) == 1 and self._is_alone(len(rows[0].input_ids))
            if alone:
                self._forget_lengths()
            means = self._packed_means(rows) if self.packs and not alone else self._padded_means(rows)
        return np.asarray(means.cpu().numpy(), np.float32)

    def width(self) -> int:
        """Dimensions of a vector."""
        probe = self._probe_ids(4).astype(np.int32)
        return int(self.vectors([Encoded(probe, np.arange(4) > 0, False)]).shape[1])

    def _packed_means(self, rows: Sequence[Encoded]) -> torch.Tensor:
        pack = pack_rows([_whole(row) for row in rows], self._options.shared)
        tensors = PackTensors.of(pack, self._varlen, self._blocks).moved(lambda part: part.to(self._device))
        states = self._packed_states(tensors).float()
        positions = tensors.position_ids[0] + 1
        lengths = torch.tensor([segment.length for segment in pack.segments])
        segment_index = torch.repeat_interleave(torch.arange(len(lengths)), lengths).to(self._device)
        sums = torch.zeros(len(lengths), states.shape[1], device=self._device)
        sums.index_add_(0, segment_index, states * positions[:, None])
        own, shared = (torch.from_numpy(index).to(self._device) for index in _segments_of_rows(pack))
        shares = (shared >= 0)[:, None]
        return _means(sums[own] + torch.where(shares, sums[shared.clamp(min=0)], 0.0), rows)

    def _padded_means(self, rows: Sequence[Encoded]) -> torch.Tensor:
        input_ids, mask = padded(rows, self._device)
        states = trunk_states(self._causal, input_ids, mask) if self.splits else self._whole_states(input_ids, mask)
        weights = torch.arange(1, states.shape[1] + 1, device=self._device) * mask
        # Not a product of matrices: what padding holds may be no number.
        real = torch.where(mask[:, :, None] > 0, states.float(), 0.0)
        return _means((real * weights[:, :, None]).sum(1), rows)

    def _whole_states(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        outputs = self._model(input_ids=input_ids, attention_mask=mask, use_cache=False, output_hidden_states=True)
        states = getattr(outputs, "hidden_states", None)
        if not states:
            raise ModelUnusable(
                "The model does not give its hidden states, so its rows have no embedding. Choose another base."
            )
        last: torch.Tensor = states[-1]
        return last


def _means(sums: torch.Tensor, rows: Sequence[Encoded]) -> torch.Tensor:
    lengths = torch.tensor([len(row.input_ids) for row in rows], device=sums.device)
    return sums / (lengths * (lengths + 1) / 2)[:, None]


def _whole(row: Encoded) -> Encoded:
    """The row with one more token, scored alone: packing ends a row before its last scored token, and what nobody is
    asked of may be shared."""
    ids = np.append(row.input_ids, np.int32(0))
    return replace(row, input_ids=ids, scored=np.arange(len(ids)) == len(ids) - 1, is_end=np.zeros(len(ids), np.bool_))


def _segments_of_rows(pack: Pack) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of each row's own segment, and of the one that it shares, -1 where it shares none."""
    starts = np.array([segment.start for segment in pack.segments])
    # Each row has one scored token, predicted from the last place of its segment.
    own = np.searchsorted(starts, pack.state_index, side="right") - 1
    shared = [
        np.searchsorted(starts, segment.shared_start) if segment.shared_length else -1
        for segment in (pack.segments[number] for number in own.tolist())
    ]
    return own.astype(np.int64), np.array(shared, np.int64)


class RowEmbedder:
    """Vectors of rows in batches; remembers which batch size fits. `report` gets a line when GPU memory runs out."""

    def __init__(self, engine: EmbeddingEngine, token_budget: int, report: Callable[[str], None]) -> None:
        self._engine, self._budget = engine, BatchBudget(token_budget, report)

    def vectors(self, encoded: Sequence[Encoded], wanted: Sequence[int]) -> Iterator[BatchVectors]:
        """Vectors of the `wanted` rows, by their index, batch by batch. Raises `ModelUnusable` if one row alone does
        not fit."""
        return self._budget.computed(encoded, wanted, lambda rows, budget: self._batches(encoded, rows, budget))

    def _batches(self, encoded: Sequence[Encoded], wanted: Sequence[int], budget: int) -> Iterator[BatchVectors]:
        for batch in self._engine.plan([len(encoded[row].input_ids) for row in wanted], budget):
            rows = tuple(wanted[index] for index in batch.rows)
            items = [encoded[row] for row in rows]
            yield BatchVectors(rows, self._engine.vectors(items), sum(len(item.input_ids) for item in items))
