"""The engine: how surprising each response is to a model, given its prompt.

    nll_sum = - sum over scored t of log p(y_t | x, y_<t)    [nats]; METHOD: LoBaSS / DavIR, arXiv 2310.13008

Rows are sorted by length into padded batches under a token budget. The trunk runs once without a KV cache; the
language-model head runs on scored positions only, in chunks, and its log-softmax is taken in float32: the full
[rows x length x vocabulary] logits of a model with a large vocabulary would not fit, and are mostly not needed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from core.encoding import Encoded
from core.errors import ModelUnusable

_HEAD_CHUNK_BYTES = 256 * 2**20
_NOISE_ROWS = 8


@dataclass(frozen=True, slots=True)
class Batch:
    """Indices of the rows that are computed together, and the length they are padded to [tokens]."""

    rows: tuple[int, ...]
    length: int


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Losses of one batch: row indices and their nll_sum [nats], float64, in the same order."""

    rows: tuple[int, ...]
    nll_sums: NDArray[np.float64]
    tokens: int


def plan_batches(lengths: Sequence[int], token_budget: int) -> list[Batch]:
    """Batches of rows of like length, longest first, padded size at most `token_budget` [tokens].

    A row longer than the budget gets a batch of its own. Longest first: if memory runs out, it does so at once.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    batches: list[Batch] = []
    start = 0
    while start < len(order):
        length = lengths[order[start]]
        count = max(1, token_budget // max(1, length))
        batches.append(Batch(tuple(order[start : start + count]), length))
        start += count
    return batches


def response_losses(
    model: torch.nn.Module,
    encoded: Sequence[Encoded],
    token_budget: int,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[BatchLosses]:
    """Losses of all rows that have a scored token, batch by batch.

    When a GPU's memory runs out the budget is halved and the work goes on; `report` gets a line about it.
    Raises `ModelUnusable` if one row alone does not fit.
    """
    engine = LossEngine(model)
    report(f"head: {engine.head_path}")
    waiting = [row for row, item in enumerate(encoded) if item.reason is None]
    while waiting:
        waiting_lengths = [len(encoded[row].input_ids) for row in waiting]
        done: set[int] = set()
        try:
            for batch in plan_batches(waiting_lengths, token_budget):
                rows = tuple(waiting[index] for index in batch.rows)
                sums = engine.nll_sums([encoded[row] for row in rows])
                done.update(rows)
                yield BatchLosses(rows, sums, sum(len(encoded[row].input_ids) for row in rows))
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            longest = max(length for row, length in zip(waiting, waiting_lengths, strict=True) if row not in done)
            if token_budget <= longest:
                raise ModelUnusable(
                    f"GPU memory ran out on a single row of {longest:,} tokens. Lower --max-length, or free the GPU."
                ) from None
            token_budget = max(longest, token_budget // 2)
            report(f"GPU memory ran out; going on with batches of {token_budget:,} tokens")
        waiting = [row for row in waiting if row not in done]


def measure_noise(model: torch.nn.Module, encoded: Sequence[Encoded]) -> float:
    """How far a loss moves when only the batch around the row changes [nats per token].

    The largest difference, over a few rows, between a row computed alone and computed in a batch: differences of
    two models' losses below it are not resolved.
    """
    engine = LossEngine(model)
    usable = sorted((item for item in encoded if item.reason is None), key=lambda item: len(item.input_ids))
    step = max(1, len(usable) // _NOISE_ROWS)
    sample = usable[::step][:_NOISE_ROWS]
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


class LossEngine:
    """A loaded causal language model, split into trunk and head where that gives the model's own logits."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._causal: Any = getattr(model, "get_base_model", lambda: model)()
        self._device = next(model.parameters()).device
        self.splits = self._split_agrees()

    @property
    def head_path(self) -> str:
        """Which way the head runs, for the log."""
        return "scored positions only" if self.splits else "all positions (this architecture's head is its own)"

    @torch.inference_mode()
    def nll_sums(self, rows: Sequence[Encoded]) -> NDArray[np.float64]:
        """nll_sum of each row [nats], float64; the rows are padded together into one batch."""
        input_ids, mask, positions = padded(rows, self._device)
        batch_index, state_index, targets = scored_positions(rows, input_ids)
        losses = self._losses_at(input_ids, mask, positions, batch_index, state_index, targets)
        sums = torch.zeros(len(rows), dtype=torch.float64, device=self._device)
        sums.index_add_(0, batch_index, losses.double())
        return np.asarray(sums.cpu().numpy(), dtype=np.float64)

    @torch.inference_mode()
    def token_losses(self, row: Encoded) -> NDArray[np.float64]:
        """Loss of each scored token of one row [nats], float64, in order; they sum to the row's nll_sum."""
        input_ids, mask, positions = padded([row], self._device)
        losses = self._losses_at(input_ids, mask, positions, *scored_positions([row], input_ids))
        return np.asarray(losses.double().cpu().numpy(), dtype=np.float64)

    def _losses_at(
        self,
        input_ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        batch_index: torch.Tensor,
        state_index: torch.Tensor,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        if not self.splits:
            logits = self._model(
                input_ids=input_ids, attention_mask=mask, position_ids=positions, use_cache=False
            ).logits[batch_index, state_index]
            return F.cross_entropy(logits.float(), targets, reduction="none")
        hidden = self._trunk(input_ids, mask, positions)[batch_index, state_index]
        chunk = max(1, _HEAD_CHUNK_BYTES // (4 * self._causal.config.get_text_config().vocab_size))
        return torch.cat(
            [
                F.cross_entropy(
                    self._head(hidden[start : start + chunk]).float(), targets[start : start + chunk], reduction="none"
                )
                for start in range(0, len(targets), chunk)
            ]
        )

    def _trunk(self, input_ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return trunk_states(self._causal, input_ids, mask, positions)

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        return head_logits(self._causal, hidden)

    @torch.inference_mode()
    def _split_agrees(self) -> bool:
        """Whether trunk and head, taken apart, give what the whole model gives on a few tokens.

        Asked of the model instead of a list of architectures: some scale or cap their logits in ways of their own.
        """
        vocabulary = self._causal.config.get_text_config().vocab_size
        input_ids = (torch.arange(8, device=self._device) * 97 % vocabulary).unsqueeze(0)
        mask, positions = torch.ones_like(input_ids), torch.arange(8, device=self._device).unsqueeze(0)
        whole = self._model(input_ids=input_ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        try:
            split = self._head(self._trunk(input_ids, mask, positions))
        except (AttributeError, TypeError, RuntimeError):
            return False
        return split.shape == whole.shape and torch.allclose(split.float(), whole.float(), atol=1e-3, rtol=1e-3)


def padded(rows: Sequence[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """input_ids, attention mask and position ids [rows x longest], padded on the right.

    Causal attention never looks to the right, so padding there cannot reach a real token. The pad id is 0 and
    stands for nothing: what is padding is told by the mask alone, because a model's pad may be its end-of-turn.
    """
    longest = max(len(row.input_ids) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest), np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row.input_ids)] = row.input_ids
        mask[index, : len(row.input_ids)] = 1
    positions = torch.arange(longest, device=device).expand(len(rows), -1)
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), positions


def scored_positions(
    rows: Sequence[Encoded], input_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every scored token of a padded batch: its row, the position whose state predicts it, and its id.

    logits[t] predict token t + 1, so a token that is scored at t + 1 needs the hidden state at t: the one place where
    labels are shifted, for scoring and for training.
    """
    scored = np.stack([np.pad(row.scored, (0, input_ids.shape[1] - len(row.scored))) for row in rows])
    row_index, token_index = (torch.from_numpy(index).to(input_ids.device) for index in np.nonzero(scored))
    return row_index, token_index - 1, input_ids[row_index, token_index]


def trunk_states(causal: Any, input_ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Last hidden states [rows x length x width] of a causal language model, without its head."""
    outputs = causal.model(input_ids=input_ids, attention_mask=mask, position_ids=positions, use_cache=False)
    states: torch.Tensor = outputs.last_hidden_state
    return states


def head_logits(causal: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [positions x vocabulary] of hidden states [positions x width], final soft-capping included."""
    logits: torch.Tensor = causal.get_output_embeddings()(hidden)
    cap = getattr(causal.config.get_text_config(), "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits
