"""The engine for training: losses with gradients, computed as they are for scoring.

Rows are packed without padding and share prefixes, the head runs on scored positions with a chunked cross-entropy.
Whether packed rows give the gradients of rows alone is tested on a few tokens, not looked up; a model that fails the
test, or that drops out attention at random, trains on padded batches.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch

from ..data.encoded import Encoded
from .engine_choice import EngineChoice
from .loss_engine import NOT_SPLIT, EngineOptions, LossEngine
from .packed_attention import LONGEST_IN_BLOCKS, packed_attention

_COMPARED_WEIGHTS = 8
_LARGEST_COMPARED = 2**24
_MEASURED = (128, 256)
"""Lengths of rows whose kept bytes are measured [tokens]: whole blocks of attention, so that growth is linear."""


class TrainingEngine(LossEngine):
    """A model in training: its losses for evaluation, as of `LossEngine`, and with gradients."""

    def __init__(self, model: torch.nn.Module) -> None:
        # Not what is fastest here: a training that goes on elsewhere must compute as it began.
        super().__init__(model, EngineOptions(choice=EngineChoice()))
        self.packs_in_training = self.packs and self._gradients_agree()

    def losses(self, rows: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        """Row and loss [nats] of every scored token, in order of rows, differentiable; to be called within
        `attention_of` these rows."""
        return self._losses(rows, packs=self._packs(rows))

    @contextmanager
    def attention_of(self, rows: Sequence[Encoded]) -> Iterator[None]:
        """Context manager for forward and backward of these rows: under activation checkpointing backward runs the
        layers again, and with the same attention."""
        with packed_attention(self._causal) if self._packs(rows) else nullcontext():
            yield

    def _packs(self, rows: Sequence[Encoded]) -> bool:
        return self.packs_in_training and not any(self._is_alone(len(row.input_ids)) for row in rows)

    def parts(self, rows: Sequence[Encoded], token_budget: int) -> list[list[int]]:
        """Places of the rows, in order, in parts of about equal size, each at most `token_budget` [tokens, padding
        included] unless it is a single row."""
        lengths = [len(row.input_ids) for row in rows]
        alone = {place for place, length in enumerate(lengths) if self._is_alone(length)}
        fair = sum(lengths) / max(1, -(-sum(lengths) // token_budget))
        found: list[list[int]] = []
        longest = tokens = 0
        for place, length in enumerate(lengths):
            longest = max(longest, length)
            size = tokens + length if self.packs_in_training else longest * (len(found[-1]) + 1 if found else 1)
            over = size > token_budget or (self.packs_in_training and tokens + length / 2 > fair)
            if not found or over or place in alone or place - 1 in alone:
                found.append([])
                longest, tokens = length, 0
            found[-1].append(place)
            tokens += length
        return found

    def kept_bytes(self, length: int) -> float:
        """Bytes a token that forward keeps for backward, in a row of this length [tokens].

        Measured on a row; for a long one on two short ones, because attention's scores grow with the length.
        """
        short, long = _MEASURED
        if length <= long:
            return self._kept_in_row(max(2, length))
        kept = self._kept_in_row(long)
        growth = (kept - self._kept_in_row(short)) / (long - short)
        return kept + max(0.0, growth) * (min(length, LONGEST_IN_BLOCKS) - long)

    def _kept_in_row(self, length: int) -> float:
        row = Encoded(self._probe_ids(length).astype(np.int32), np.arange(length) > 0, False)
        known = {tensor.untyped_storage().data_ptr() for tensor in (*self._model.parameters(), *self._model.buffers())}
        kept: dict[int, torch.UntypedStorage] = {}  # alive, so that no address comes twice

        def keep(tensor: torch.Tensor) -> None:  # not the tensor: an output kept by its own node is never freed
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                kept[storage.data_ptr()] = storage

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda given: given)
        with self._as_in_training(), hooks, self.attention_of([row]):
            losses = self.losses([row])  # until this ends, what it keeps is alive
        assert losses
        return sum(storage.nbytes() for storage in kept.values()) / length

    def _gradients_agree(self) -> bool:
        """Whether packed rows give the gradients of padded rows, for the first few trained weights: those of the lowest
        layers depend on all others."""
        weights = [
            weight
            for weight in self._model.parameters()
            if weight.requires_grad and weight.numel() <= _LARGEST_COMPARED
        ][:_COMPARED_WEIGHTS]
        # Two rows with a prefix in common and one without: backward of all probe rows takes more memory than training.
        rows = self._probe_rows()[::2]
        try:
            with self._as_in_training():
                packed, padded = (
                    self._gradients(weights, self._losses(rows, packs=packs)[1]) for packs in (True, False)
                )
        except torch.cuda.OutOfMemoryError:
            raise
        except NOT_SPLIT:
            return False
        tolerance = 1e-4 if self._dtype == torch.float32 else 0.05
        return bool((packed - padded).norm() <= tolerance * padded.norm())

    @staticmethod
    def _gradients(weights: Sequence[torch.Tensor], losses: torch.Tensor) -> torch.Tensor:
        found = torch.autograd.grad(losses.sum(), list(weights), allow_unused=True)
        return torch.cat([gradient.double().flatten() for gradient in found if gradient is not None])

    @contextmanager
    def _as_in_training(self) -> Iterator[None]:
        was_training = self._model.training
        self._model.train()
        try:
            with torch.enable_grad():
                yield
        finally:
            self._model.train(was_training)
