"""The engine: the fastest way of running a model that reproduces the model's own losses.

The trunk runs once without a KV cache, on packed rows, so no padding is computed. The language-model head runs on
scored positions only, with chunked cross-entropy: one tile of the vocabulary at a time, log-softmax in float32.
Optimisations that a model does not support fall back to padded batches or full logits, with the same losses. Support is
tested by comparing results on a few tokens, not looked up in a list.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..data.encoded import Encoded
from ..data.errors import ModelUnusable
from .chunked_cross_entropy import Head
from .engine_choice import BLOCKS, EngineChoice
from .kept_choice import choice_for
from .matrix_products import products_by
from .model_parts import (
    awaits_tokens,
    check_windows,
    head_logits,
    length_limit,
    padded,
    plain_head,
    scored_positions,
    trunk_states,
)
from .pack_tensors import PackTensors
from .packed_attention import PackingUnsupported, has_blocks, has_varlen, packed_attention
from .packing import Batch, pack_rows, plan_batches, plan_packs
from .trainable_cross_entropy import trainable_losses

_HEAD_CHUNK_BYTES = 256 * 2**20
_LONGEST_PROBE = 4096
NOT_SPLIT = (AttributeError, TypeError, RuntimeError, ValueError, KeyError, IndexError, PackingUnsupported)
"""Errors of architectures whose trunk or attention does not have the usual interface."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Optimisations that the engine may use if the model supports them. Tests and benchmarks disable some.

    choice: what depends on the processor; None: measured, or kept from an earlier measurement.
    """

    packed: bool = True
    shared: bool = True
    tiled: bool = True
    varlen: bool = True
    choice: EngineChoice | None = None


class LossEngine:
    """A loaded causal language model with the fastest execution that reproduces its own losses."""

    def __init__(
        self, model: torch.nn.Module, options: EngineOptions = EngineOptions(), without_adapter: bool = False
    ) -> None:
        """`without_adapter`: compute the losses of the base, with the model's adapter disabled.

        Raises `ModelUnusable` if the GPU has no memory left for a few tokens.
        """
        self._model, self._options, self._without_adapter = model, options, without_adapter
        self._causal: Any = getattr(model, "get_base_model", lambda: model)()
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        torch.set_float32_matmul_precision("highest")  # a container's environment may have set a lower precision
        self._varlen = options.varlen and has_varlen(self._device, self._dtype)
        self.choice = options.choice or choice_for(self._causal)
        self._blocks = self.choice.attention == BLOCKS and has_blocks(self._device, self._dtype)
        self._why_no_varlen = ""
        try:
            with self._side():
                self._try_options()
        except torch.cuda.OutOfMemoryError as error:
            raise ModelUnusable("GPU memory ran out on the model's first few tokens. Free GPU memory first.") from error

    def _try_options(self) -> None:
        """Find out which optimisations the model supports."""
        self.splits = self._split_agrees()
        self._length_limit = length_limit(self._causal) if self.splits else None
        self._head = plain_head(self._causal, self.choice.tile_tokens) if self.splits and self._options.tiled else None
        self.packs, self._why_padded = self._packing_agrees()
        if self._varlen and not self.packs:  # try the other attention
            self._varlen, self._why_no_varlen = False, self._why_padded
            self.packs, self._why_padded = self._packing_agrees()

    @property
    def packs_ahead(self) -> bool:
        """Whether a thread should pack the next batch while the device computes."""
        return self.packs and self._device.type == "cuda"

    def prepare(self, rows: Sequence[Encoded]) -> PackTensors | None:
        """The rows' pack in pinned memory, or None if rows are not packed."""
        if not self.packs or any(self._is_alone(len(row.input_ids)) for row in rows):
            return None
        tensors = PackTensors.of(pack_rows(rows, self._options.shared), self._varlen, self._blocks)
        return tensors.moved(torch.Tensor.pin_memory) if self._device.type == "cuda" else tensors

    @contextmanager
    def _side(self) -> Iterator[None]:
        """Context manager: disables the model's adapter if the base's losses are wanted."""
        tuner: Any = getattr(self._model, "base_model", None)
        if not (self._without_adapter and hasattr(tuner, "disable_adapter_layers")):
            yield
            return
        # Not peft's `disable_adapter`: it walks all layers twice more, and the GPU waits for that in every batch.
        tuner.disable_adapter_layers()
        try:
            yield
        finally:
            tuner.enable_adapter_layers()

    @property
    def path(self) -> str:
        """Which optimisations are in use, for the log."""
        if not self.splits:
            return "rows: padded batches; head: all positions (trunk and head cannot be separated)"
        form = ", variable-length attention" if self._varlen else ""
        if self._why_no_varlen:
            form = f", bucketed attention (no variable-length attention: {self._why_no_varlen})"
        rows = f"packed, prefix sharing{form}" if self.packs else f"padded batches ({self._why_padded})"
        return f"rows: {rows}; head: scored positions, {'chunked cross-entropy' if self._head else 'full logits'}"

    def plan(self, lengths: Sequence[int], token_budget: int) -> list[Batch]:
        """Batches within the budget [tokens], longest rows first."""
        long = [row for row, length in enumerate(lengths) if self._is_alone(length)]
        rest = sorted(set(range(len(lengths))).difference(long))
        planned = (plan_packs if self.packs else plan_batches)([lengths[row] for row in rest], token_budget)
        alone = [Batch((row,), lengths[row]) for row in sorted(long, key=lambda row: -lengths[row])]
        return alone + [Batch(tuple(rest[row] for row in batch.rows), batch.length) for batch in planned]

    @torch.inference_mode()
    def nll_sums(self, rows: Sequence[Encoded], pack: PackTensors | None = None) -> NDArray[np.float64]:
        """nll_sum of each row [nats], float64, computed in one batch. pack: the rows' prepared pack, if any."""
        sums: NDArray[np.float64] = self.row_sums(rows, pack)[0]
        return sums

    @torch.inference_mode()
    def row_sums(self, rows: Sequence[Encoded], pack: PackTensors | None = None) -> NDArray[np.float64]:
        """nll_sum of each row, and the part of it on tokens that end a reply [2 x rows, nats], float64, computed in one
        batch. pack: the rows' prepared pack, if any."""
        if len(rows) > 1 and any(self._is_alone(len(row.input_ids)) for row in rows):
            return np.concatenate([self.row_sums([row]) for row in rows], axis=1)
        # Before the losses: copying to a GPU after them would wait for them.
        is_end = np.concatenate([row.is_end[row.scored] for row in rows])
        ends = torch.from_numpy(np.flatnonzero(is_end)).to(self._device)
        row_index, token_losses = self._losses(rows, pack)
        losses = token_losses.double()
        sums = torch.zeros(2, len(rows), dtype=torch.float64, device=self._device)
        sums[0].index_add_(0, row_index, losses)
        sums[1].index_add_(0, row_index[ends], losses[ends])
        return np.asarray(sums.cpu().numpy(), dtype=np.float64)

    @torch.inference_mode()
    def token_losses(self, row: Encoded) -> NDArray[np.float64]:
        """Loss of each scored token of one row [nats], float64, in order; they sum to the row's nll_sum."""
        _, losses = self._losses([row])
        return np.asarray(losses.double().cpu().numpy(), dtype=np.float64)

    def _losses(
        self, rows: Sequence[Encoded], pack: PackTensors | None = None, packs: bool | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Row and loss [nats] of every scored token, in order of rows; differentiable where gradients are enabled.
        `packs`: whether to pack them, by default if the model supports it."""
        packs = self.packs if packs is None else packs
        with self._side(), products_by(self.choice.products, self._device, self._dtype):
            alone = len(rows) == 1 and self._is_alone(len(rows[0].input_ids))
            if alone:
                self._forget_lengths()
            if packs and not alone:
                if pack is None or (pack.places.runs is not None) != self._varlen:
                    pack = self.prepare(rows)
                assert pack is not None
                pack = pack.moved(lambda tensor: tensor.to(self._device, non_blocking=True))
                return pack.row_index, self._head_losses(self._packed_states(pack)[pack.state_index], pack.targets)
            input_ids, mask = padded(rows, self._device)
            row_index, state_index, targets = scored_positions(rows, input_ids)
            if self.splits:
                states = trunk_states(self._causal, input_ids, mask)[row_index, state_index]
                return row_index, self._head_losses(states, targets)
            logits = self._whole_logits(input_ids, mask)[row_index, state_index]
            return row_index, F.cross_entropy(_wide(logits), targets, reduction="none")

    def _is_alone(self, length: int) -> bool:
        """Whether a row of this length [tokens] would change the rotary embedding of other rows in its batch."""
        return self._length_limit is not None and length > self._length_limit

    def _forget_lengths(self) -> None:
        """Reset dynamic rotary embeddings, which keep the longest row's until they see a short one."""
        token = torch.zeros(1, 1, dtype=torch.long, device=self._device)
        trunk_states(self._causal, token, token + 1)

    def _head_losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self._head is not None:
            compute = trainable_losses if torch.is_grad_enabled() else Head.losses
            return compute(self._head, states, targets)
        chunk = max(1, _HEAD_CHUNK_BYTES // (4 * self._causal.config.get_text_config().vocab_size))
        parts = [torch.zeros(0, device=self._device)]
        for start in range(0, len(targets), chunk):
            logits = _wide(head_logits(self._causal, states[start : start + chunk]))
            parts.append(F.cross_entropy(logits, targets[start : start + chunk], reduction="none"))
        return torch.cat(parts)

    def _packed_states(self, pack: PackTensors) -> torch.Tensor:
        """Last hidden states [tokens x width] of a pack; its places then hold the window requested by each layer."""
        with packed_attention(self._causal):
            outputs = self._causal.base_model(
                input_ids=pack.input_ids, position_ids=pack.position_ids, use_cache=False, packed_places=pack.places
            )
        states: torch.Tensor = outputs.last_hidden_state[0]
        return states

    def _whole_logits(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        outputs = self._model(input_ids=input_ids, attention_mask=mask, use_cache=False)
        logits: torch.Tensor = outputs.logits
        return logits

    @torch.inference_mode()
    def _split_agrees(self) -> bool:
        """Whether trunk and head, run separately, match the whole model on a few tokens.

        Tested instead of looked up by architecture: some scale or cap their logits in special ways.
        """
        if awaits_tokens(self._model):
            return False
        input_ids = torch.from_numpy(self._probe_ids(8)).to(self._device)[None]
        mask = torch.ones_like(input_ids)
        whole = self._whole_logits(input_ids, mask)
        try:
            split = head_logits(self._causal, trunk_states(self._causal, input_ids, mask))
        except torch.cuda.OutOfMemoryError:
            raise
        except NOT_SPLIT:
            return False
        return split.shape == whole.shape and torch.allclose(split.float(), whole.float(), atol=1e-3, rtol=1e-3)

    @torch.inference_mode()
    def _packing_agrees(self) -> tuple[bool, str]:
        """Whether packed rows, some with a shared prefix, give the same states as alone; if not, also why.

        Recurrent models, and models that compute positions themselves, fail this test.
        """
        if not self.splits:
            return False, "trunk and head cannot be separated"
        if not self._options.packed:
            return False, "disabled"
        rows = self._probe_rows()
        pack = PackTensors.of(pack_rows(rows), self._varlen, self._blocks).moved(lambda part: part.to(self._device))
        try:
            packed = self._packed_states(pack)
            check_windows(self._causal.config.get_text_config(), pack.places.windows)
            apart = torch.cat([self._states_alone(row) for row in rows]).double()
        except torch.cuda.OutOfMemoryError:
            raise
        except NOT_SPLIT as error:
            return False, str(error).partition("\n")[0] or type(error).__name__
        moved = (packed[pack.state_index].double() - apart).norm()
        # bfloat16 rounds differently in another batch shape; attending to another row's tokens would change states far
        # more.
        tolerance = 1e-4 if self._dtype == torch.float32 else 0.05
        return bool(moved <= tolerance * apart.norm()), "packed rows give other states"

    def _states_alone(self, row: Encoded) -> torch.Tensor:
        """The states [scored tokens x width] that predict a row's scored tokens, computed for the row alone."""
        input_ids, mask = padded([row], self._device)
        row_index, state_index, _ = scored_positions([row], input_ids)
        return trunk_states(self._causal, input_ids, mask)[row_index, state_index]

    def _probe_rows(self) -> list[Encoded]:
        window = getattr(self._causal.config.get_text_config(), "sliding_window", None) or 0
        # Flash attention defines the window differently: test a row longer than the window too.
        beyond = min(window, _LONGEST_PROBE) + 20 if self._varlen else 0
        ids = self._probe_ids(120 + beyond).astype(np.int32)
        shared = ids[:20]
        own = [ids[20:29], ids[29:61], ids[61:66]]
        rows = [np.concatenate([shared, rest]) for rest in own] + [ids[66:90], ids[90 : 107 + beyond]]
        return [Encoded(row, np.arange(len(row)) > min(20, len(row) - 4), False) for row in rows]

    def _probe_ids(self, count: int) -> NDArray[np.int64]:
        return np.arange(count) * 97 % int(self._causal.config.get_text_config().vocab_size)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    """Logits in float32, or as they are in float64."""
    return logits if logits.dtype == torch.float64 else logits.float()
