"""The engine: how surprising each response is to a model, given its prompt.

    nll_sum = - sum over scored t of log p(y_t | x, y_<t)    [nats]; METHOD: LoBaSS / DavIR, arXiv 2310.13008

Rows are sorted by length and laid end to end in packs under a token budget, so that no padding is computed. The trunk
runs once without a KV cache; the language-model head runs on scored positions only, a tile of its vocabulary at a
time, and its log-softmax is taken in float32. What a model does not take part in falls back to padded batches, or to
its whole logits, with the same losses: the model is asked, by comparing both ways on a few tokens, and not looked up
in a list.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from core.encoding import Encoded
from core.errors import ModelUnusable
from core.matrix_products import fast_products
from core.packed_attention import PackedPlaces, PackingUnsupported, packed_attention
from core.packing import Batch, Pack, pack_rows, plan_batches, plan_packs
from core.tiled_head import Head

_HEAD_CHUNK_BYTES = 256 * 2**20
_NOISE_ROWS = 8
_NOT_SPLIT = (AttributeError, TypeError, RuntimeError, ValueError, KeyError, IndexError, PackingUnsupported)
"""What an architecture raises that has no trunk of the common form, or whose attention is not of the common form."""
_ROPE_BY_LENGTH = ("dynamic", "longrope")
"""Rotary embeddings that are chosen by the longest position in a batch."""


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Losses of one batch: row indices and their nll_sum [nats], float64, in the same order."""

    rows: tuple[int, ...]
    nll_sums: NDArray[np.float64]
    tokens: int


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
    report(engine.path)
    waiting = [row for row, item in enumerate(encoded) if item.reason is None]
    while waiting:
        waiting_lengths = [len(encoded[row].input_ids) for row in waiting]
        done: set[int] = set()
        try:
            for batch in engine.plan(waiting_lengths, token_budget):
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


@dataclass(frozen=True, slots=True)
class Ways:
    """What the engine may do to be fast, where the model agrees. Tests and benchmarks take things away."""

    packed: bool = True
    shared: bool = True
    tiled: bool = True
    fast_products: bool = True


class LossEngine:
    """A loaded causal language model, and the fastest way of running it that gives the model's own losses."""

    def __init__(self, model: torch.nn.Module, ways: Ways = Ways()) -> None:
        self._model, self._ways = model, ways
        self._causal: Any = getattr(model, "get_base_model", lambda: model)()
        parameter = next(model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self.splits = self._split_agrees()
        self._length_limit = _length_limit(self._causal) if self.splits else None
        self._head = plain_head(self._causal) if self.splits and ways.tiled else None
        self.packs, self._why_padded = self._packing_agrees()

    @property
    def path(self) -> str:
        """Which way rows are computed, for the log."""
        if not self.splits:
            return "rows: padded batches; head: all positions (this architecture's head is its own)"
        rows = "packed, shared beginnings once" if self.packs else f"padded batches ({self._why_padded})"
        return f"rows: {rows}; head: scored positions, {'in tiles' if self._head else 'its own form'}"

    def plan(self, lengths: Sequence[int], token_budget: int) -> list[Batch]:
        """Batches under the budget [tokens], longest rows first."""
        long = [row for row, length in enumerate(lengths) if self._is_alone(length)]
        rest = sorted(set(range(len(lengths))).difference(long))
        planned = (plan_packs if self.packs else plan_batches)([lengths[row] for row in rest], token_budget)
        alone = [Batch((row,), lengths[row]) for row in sorted(long, key=lambda row: -lengths[row])]
        return alone + [Batch(tuple(rest[row] for row in batch.rows), batch.length) for batch in planned]

    @torch.inference_mode()
    def nll_sums(self, rows: Sequence[Encoded]) -> NDArray[np.float64]:
        """nll_sum of each row [nats], float64; the rows are computed together."""
        if len(rows) > 1 and any(self._is_alone(len(row.input_ids)) for row in rows):
            return np.concatenate([self.nll_sums([row]) for row in rows])
        row_index, losses = self._losses(rows)
        sums = torch.zeros(len(rows), dtype=torch.float64, device=self._device)
        sums.index_add_(0, row_index, losses.double())
        return np.asarray(sums.cpu().numpy(), dtype=np.float64)

    @torch.inference_mode()
    def token_losses(self, row: Encoded) -> NDArray[np.float64]:
        """Loss of each scored token of one row [nats], float64, in order; they sum to the row's nll_sum."""
        _, losses = self._losses([row])
        return np.asarray(losses.double().cpu().numpy(), dtype=np.float64)

    def _losses(self, rows: Sequence[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        """Of every scored token, in order of rows: its row and its loss [nats]."""
        with fast_products(self._device, self._dtype) if self._ways.fast_products else nullcontext():
            alone = len(rows) == 1 and self._is_alone(len(rows[0].input_ids))
            if alone:
                self._forget_lengths()
            if self.packs and not alone:
                pack = pack_rows(rows, self._ways.shared)
                states = self._packed_states(pack)[torch.from_numpy(pack.state_index).to(self._device)]
                row_index, targets = (torch.from_numpy(x).to(self._device) for x in (pack.row_index, pack.targets))
                return row_index, self._head_losses(states, targets)
            input_ids, mask, positions = padded(rows, self._device)
            row_index, state_index, targets = scored_positions(rows, input_ids)
            if self.splits:
                states = trunk_states(self._causal, input_ids, mask, positions)[row_index, state_index]
                return row_index, self._head_losses(states, targets)
            logits = self._whole_logits(input_ids, mask, positions)[row_index, state_index]
            return row_index, F.cross_entropy(logits.float(), targets, reduction="none")

    def _is_alone(self, length: int) -> bool:
        """Whether a row so long [tokens] would change the rotary embedding of those beside it."""
        return self._length_limit is not None and length > self._length_limit

    def _forget_lengths(self) -> None:
        """A dynamic rotary embedding keeps that of the longest row until it sees a short one."""
        token = torch.zeros(1, 1, dtype=torch.long, device=self._device)
        trunk_states(self._causal, token, token + 1, token)

    def _head_losses(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self._head is not None:
            return self._head.losses(states, targets)
        chunk = max(1, _HEAD_CHUNK_BYTES // (4 * self._causal.config.get_text_config().vocab_size))
        parts = [torch.zeros(0, device=self._device)]
        for start in range(0, len(targets), chunk):
            logits = head_logits(self._causal, states[start : start + chunk])
            parts.append(F.cross_entropy(logits.float(), targets[start : start + chunk], reduction="none"))
        return torch.cat(parts)

    def _packed_states(self, pack: Pack) -> torch.Tensor:
        """Last hidden states [tokens x width] of a pack."""
        return self._states_and_windows(pack)[0]

    def _states_and_windows(self, pack: Pack) -> tuple[torch.Tensor, dict[int, int | None]]:
        places = PackedPlaces.of(pack, self._device)
        ids, positions = (torch.from_numpy(x).to(self._device)[None] for x in (pack.input_ids, pack.position_ids))
        with packed_attention(self._causal):
            outputs = self._causal.base_model(
                input_ids=ids, position_ids=positions, use_cache=False, packed_places=places
            )
        states: torch.Tensor = outputs.last_hidden_state[0]
        return states, places.windows

    def _whole_logits(self, input_ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        outputs = self._model(input_ids=input_ids, attention_mask=mask, position_ids=positions, use_cache=False)
        logits: torch.Tensor = outputs.logits
        return logits

    @torch.inference_mode()
    def _split_agrees(self) -> bool:
        """Whether trunk and head, taken apart, give what the whole model gives on a few tokens.

        Asked of the model instead of a list of architectures: some scale or cap their logits in ways of their own.
        """
        input_ids = torch.from_numpy(self._probe_ids(8)).to(self._device)[None]
        mask, positions = torch.ones_like(input_ids), torch.arange(8, device=self._device).unsqueeze(0)
        whole = self._whole_logits(input_ids, mask, positions)
        try:
            split = head_logits(self._causal, trunk_states(self._causal, input_ids, mask, positions))
        except _NOT_SPLIT:
            return False
        return split.shape == whole.shape and torch.allclose(split.float(), whole.float(), atol=1e-3, rtol=1e-3)

    @torch.inference_mode()
    def _packing_agrees(self) -> tuple[bool, str]:
        """Whether rows laid end to end, some with a shared beginning, give the states that they give alone.

        If not, also why. Asked of the model: one that carries a state from token to token, or counts positions by
        itself, differs here.
        """
        if not self.splits:
            return False, "trunk and head do not come apart"
        if not self._ways.packed:
            return False, "not asked for"
        rows = self._probe_rows()
        pack = pack_rows(rows)
        try:
            packed, windows = self._states_and_windows(pack)
            check_windows(self._causal.config.get_text_config(), windows)
            input_ids, mask, positions = padded(rows, self._device)
            row_index, state_index, _ = scored_positions(rows, input_ids)
            apart = trunk_states(self._causal, input_ids, mask, positions)[row_index, state_index].double()
        except _NOT_SPLIT as error:
            return False, str(error).partition("\n")[0] or type(error).__name__
        moved = (packed[torch.from_numpy(pack.state_index).to(self._device)].double() - apart).norm()
        # bfloat16 rounds differently in another shape of batch; seeing another row's tokens would move states far more.
        tolerance = 1e-4 if self._dtype == torch.float32 else 0.05
        return bool(moved <= tolerance * apart.norm()), "packed rows do not give its states"

    def _probe_rows(self) -> list[Encoded]:
        ids = self._probe_ids(120).astype(np.int32)
        shared = ids[:20]
        own = [ids[20:29], ids[29:61], ids[61:66]]
        rows = [np.concatenate([shared, rest]) for rest in own] + [ids[66:90], ids[90:107]]
        return [Encoded(row, np.arange(len(row)) > min(20, len(row) - 4), False) for row in rows]

    def _probe_ids(self, count: int) -> NDArray[np.int64]:
        return np.arange(count) * 97 % int(self._causal.config.get_text_config().vocab_size)


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
    outputs = causal.base_model(input_ids=input_ids, attention_mask=mask, position_ids=positions, use_cache=False)
    states: torch.Tensor = outputs.last_hidden_state
    return states


def head_logits(causal: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [positions x vocabulary] of hidden states [positions x width], scale and final soft-capping included."""
    logits: torch.Tensor = causal.get_output_embeddings()(hidden)
    scale, cap = _scale_and_cap(causal)
    if scale != 1:
        logits = logits * scale
    return torch.tanh(logits / cap) * cap if cap else logits


def plain_head(causal: Any) -> Head | None:
    """The head as one matrix, where it is no more than that: an adapter on it, say, makes it more."""
    head = causal.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.weight.layout != torch.strided:
        return None
    return Head(head.weight, head.bias, *_scale_and_cap(causal))


def _scale_and_cap(causal: Any) -> tuple[float, float | None]:
    config = causal.config.get_text_config()
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    return float(scale), getattr(config, "final_logit_softcapping", None)


def _length_limit(causal: Any) -> int | None:
    """Length beyond which a row changes the rotary embedding of those beside it [tokens], if there is one."""
    config = causal.config.get_text_config()
    told = getattr(config, "rope_parameters", None) or {}
    for parameters in (told, *(part for part in told.values() if isinstance(part, dict))):
        if parameters.get("rope_type") in _ROPE_BY_LENGTH:
            return int(parameters.get("original_max_position_embeddings") or config.max_position_embeddings)
    return None


def check_windows(config: Any, windows: dict[int, int | None]) -> None:
    """Raise `PackingUnsupported` unless every layer asked for the window that transformers' mask would give it.

    windows: of each layer, by its number. A model may leave its window to the mask, which the packed form never sees;
    rows shorter than the window would not tell.
    """
    window = getattr(config, "sliding_window", None)
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None) or [None if window is None else "sliding_attention"] * layers
    expected = {"full_attention": None, "sliding_attention": window, None: None}
    if len(windows) != layers or any(kind not in expected for kind in kinds):
        raise PackingUnsupported("its layers are not all full or sliding attention")
    if any(windows[layer] != expected[kind] for layer, kind in enumerate(kinds)):
        raise PackingUnsupported("its layers do not tell their sliding window")
