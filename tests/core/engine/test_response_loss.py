"""The losses: a toy computed by hand, real architectures against transformers' own loss, batching, padding, memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from core.data.encoded import Encoded
from core.data.errors import ModelUnusable
from core.encoding.encode import encode_examples
from core.engine.engine_choice import BLOCKS, ONEDNN, TILES, TORCH, EngineChoice
from core.engine.loss_engine import EngineOptions, LossEngine
from core.engine.model_parts import check_windows, padded
from core.engine.pack_tensors import PackTensors
from core.engine.packed_attention import PackingUnsupported
from core.engine.packing import plan_batches
from core.engine.response_loss import ResponseScorer, measure_noise, response_losses
from tests.tiny_models import EOS, FAMILIES, MIXED_EXAMPLES, encoding_spec, make_model, make_tokenizer


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> torch.nn.Module:
    return make_model(request.param)


@pytest.fixture(scope="module", params=["chat", "alpaca"])
def mixed(request: pytest.FixtureRequest) -> list[Encoded]:
    return encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec(request.param))


def losses_of(model: torch.nn.Module, encoded: Sequence[Encoded], token_budget: int = 4096) -> NDArray[np.float64]:
    """Loss of each row [nats per token], NaN where none was computed."""
    losses = np.full(len(encoded), np.nan)
    for batch in response_losses(model, encoded, token_budget):
        for row, nll_sum in zip(batch.rows, batch.nll_sums, strict=True):
            assert np.isnan(losses[row]), "a row was computed twice"
            losses[row] = nll_sum / encoded[row].token_count
    return losses


def row_of(input_ids: list[int], scored: list[int]) -> Encoded:
    return Encoded(np.array(input_ids, np.int32), np.array(scored, np.bool_), False)


def label_loss(model: Any, row: Encoded) -> float:
    """transformers' own loss of one row [nats per token]."""
    input_ids = torch.from_numpy(row.input_ids.astype(np.int64)).unsqueeze(0)
    labels = torch.where(torch.from_numpy(row.scored), input_ids, -100)
    with torch.inference_mode():
        return float(model(input_ids=input_ids, labels=labels).loss)


class NextTokenTable(torch.nn.Module):
    """A language model of three tokens whose prediction hangs on the last token only, by a table of probabilities.

    It has no trunk: only whole logits.
    """

    PROBABILITIES = ((0.5, 0.25, 0.25), (0.125, 0.375, 0.5), (0.1, 0.2, 0.7))

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.log(torch.tensor(self.PROBABILITIES)))
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=3))

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.logits[input_ids] + 5.0)  # a constant that log-softmax takes out


# The number itself


def test_the_loss_of_a_toy_is_what_a_person_computes_by_hand() -> None:
    # Tokens 0 1 2 2 0, of which the 1, the second 2 and the last 0 are scored. Each is predicted by the one before:
    # p(1 | 0) = 0.25, p(2 | 2) = 0.7, p(0 | 2) = 0.1, so nll_sum = -ln 0.25 - ln 0.7 - ln 0.1.
    (sums,) = [
        batch.nll_sums for batch in response_losses(NextTokenTable(), [row_of([0, 1, 2, 2, 0], [0, 1, 0, 1, 1])], 8)
    ]
    assert sums.tolist() == pytest.approx([1.386294 + 0.356675 + 2.302585], abs=1e-5)


def test_a_padded_toy_row_counts_none_of_its_padding() -> None:
    # The pad id is 0, and p(0 | 1) = 0.125 would add 2.08 nats a position if padding were scored.
    rows = [row_of([0, 1], [0, 1]), row_of([1, 2, 2, 0, 0], [0, 0, 0, 1, 1])]
    losses = losses_of(NextTokenTable(), rows)
    assert losses.tolist() == pytest.approx([1.386294, (2.302585 + 0.693147) / 2], abs=1e-5)


def test_every_loss_agrees_with_transformers_labels(model: torch.nn.Module, mixed: list[Encoded]) -> None:
    expected = [label_loss(model, row) for row in mixed]
    assert max(expected) - min(expected) > 0.1  # rows differ by more than the tolerance can hide
    np.testing.assert_allclose(losses_of(model, mixed), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_runs_on_scored_positions_where_it_gives_the_models_own_logits(family: str) -> None:
    splits = LossEngine(make_model(family)).splits
    assert splits


class ScaledLlama(LlamaForCausalLM):
    """Doubles its states before the head, which its config does not tell."""

    def forward(self, input_ids: Any, attention_mask: Any = None, labels: Any = None, **_: Any) -> Any:
        states = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        logits = self.lm_head(2 * states)
        return SimpleNamespace(logits=logits, loss=labels is None or F.cross_entropy(logits[0, :-1], labels[0, 1:]))


def test_a_head_that_gives_other_values_than_the_model_is_not_used(mixed: list[Encoded]) -> None:
    model = make_model("llama")
    model.__class__ = ScaledLlama
    assert not LossEngine(model).splits
    np.testing.assert_allclose(losses_of(model, mixed), [label_loss(model, row) for row in mixed], rtol=0, atol=1e-5)


def test_packed_rows_that_give_other_values_than_rows_alone_are_not_used(
    mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = make_model("gpt2")
    forward = model.transformer.forward  # a model that counts positions by itself
    monkeypatch.setattr(
        model.transformer, "forward", lambda input_ids=None, position_ids=None, **given: forward(input_ids, **given)
    )
    assert "padded batches (packed rows give other states)" in LossEngine(model).path
    np.testing.assert_allclose(losses_of(model, mixed), [label_loss(model, row) for row in mixed], rtol=0, atol=1e-5)


PADDED = {"gemma2": "its attention is soft-capped", "mamba": "not all full or sliding attention"}
WAYS = {
    "padded": EngineOptions(packed=False, tiled=False),
    "padded, tiled": EngineOptions(packed=False),
    "packed": EngineOptions(shared=False, tiled=False),
    "packed, tiled": EngineOptions(shared=False),
    "all": EngineOptions(),
    **{
        f"{products}, {attention}, {tile}": EngineOptions(choice=EngineChoice(products, attention, tile))
        for products in (TORCH, ONEDNN)
        for attention in (TORCH, BLOCKS)
        for tile in (TILES[0], TILES[-1])
    },
}


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_packed_where_the_model_agrees_and_the_log_says_why_not(family: str) -> None:
    engine = LossEngine(make_model(family))
    assert engine.packs == (family not in PADDED)
    expected = f"padded batches (.*{PADDED[family]}" if family in PADDED else "packed, prefix sharing"
    assert expected.partition(".*")[0] in engine.path
    assert expected.rpartition(".*")[2] in engine.path


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("adds_bos", [True, False], ids=["with BOS", "without BOS"])
def test_every_way_gives_the_losses_of_labels(model: torch.nn.Module, options: EngineOptions, adds_bos: bool) -> None:
    rows = encode_examples(MIXED_EXAMPLES, make_tokenizer(adds_bos=adds_bos), encoding_spec("alpaca"))
    expected = [label_loss(model, row) for row in rows]
    engine = LossEngine(model, options)
    counts = [row.token_count for row in rows]
    np.testing.assert_allclose(engine.nll_sums(rows) / counts, expected, rtol=0, atol=1e-5)
    alone = [float(engine.nll_sums([row])[0]) for row in rows]
    np.testing.assert_allclose(np.divide(alone, counts), expected, rtol=0, atol=1e-5)
    assert len(engine.token_losses(rows[4])) == counts[4]


def test_a_very_long_row_among_short_ones_gives_the_loss_of_labels(model: torch.nn.Module) -> None:
    random = np.random.default_rng(0)
    rows = [row_of(random.integers(5, 400, size).tolist(), [0] * 3 + [1] * (size - 3)) for size in (1000, 5, 40, 17)]
    expected = [label_loss(model, row) for row in rows]
    np.testing.assert_allclose(losses_of(model, rows, 2048), expected, rtol=0, atol=1e-5)


def varlen_as_documented(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_ends: torch.Tensor,
    key_ends: torch.Tensor,
    *_: int,
    scale: float | None,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> torch.Tensor:
    """What torch's flash attention of variable length does on a GPU, run by run: a query sees up to `window_size[0]`
    keys before its own, its run's last query being at the last key."""
    runs = []
    for q0, q1, k0, k1 in zip(query_ends[:-1], query_ends[1:], key_ends[:-1], key_ends[1:], strict=True):
        ago = torch.arange(k1 - k0 - (q1 - q0), k1 - k0)[:, None] - torch.arange(k1 - k0)
        seen = (ago >= 0) & ((ago <= window_size[0]) | (window_size[0] < 0))
        parts = (part.transpose(0, 1) for part in (query[q0:q1], key[k0:k1], value[k0:k1]))
        runs.append(F.scaled_dot_product_attention(*parts, attn_mask=seen, scale=scale, enable_gqa=enable_gqa))
    return torch.cat([run.transpose(0, 1) for run in runs])


@pytest.mark.parametrize("family", ["llama", "gemma3", "mistral", "qwen2", "gpt2"])
def test_attention_of_variable_length_gives_the_losses_of_labels(
    family: str, mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engine.loss_engine.has_varlen", lambda *_: True)
    monkeypatch.setattr("core.engine.packed_attention.varlen_attn", varlen_as_documented)
    model = make_model(family)
    engine = LossEngine(model)
    assert "variable-length attention" in engine.path
    expected = [label_loss(model, row) for row in mixed]
    counts = [row.token_count for row in mixed]
    np.testing.assert_allclose(engine.nll_sums(mixed) / counts, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("broken", ["it raises", "a window one too wide", "no window"])
def test_attention_of_variable_length_that_does_not_agree_is_not_used(
    broken: str, mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def attention(*given: Any, window_size: tuple[int, int], **asked: Any) -> torch.Tensor:
        if broken == "it raises":
            raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")
        wrong = (-1, 0) if broken == "no window" else (window_size[0] + (window_size[0] > 0), 0)
        return varlen_as_documented(*given, window_size=wrong, **asked)

    monkeypatch.setattr("core.engine.loss_engine.has_varlen", lambda *_: True)
    monkeypatch.setattr("core.engine.packed_attention.varlen_attn", attention)
    model: Any = make_model("gemma3")
    model.config.sliding_window = 100  # longer than most rows that the engine looks at
    for layer in model.model.layers:
        layer.self_attn.sliding_window = 100 if layer.self_attn.sliding_window else None
    engine = LossEngine(model)
    why = "FlashAttention only supports" if broken == "it raises" else "packed rows give other states"
    assert f"packed, prefix sharing, bucketed attention (no variable-length attention: {why}" in engine.path
    np.testing.assert_allclose(losses_of(model, mixed), [label_loss(model, row) for row in mixed], rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", [100, 300])
def test_a_window_longer_than_what_the_engine_tries_it_on_gives_the_losses_of_labels(window: int) -> None:
    model: Any = make_model("gemma3")
    model.config.sliding_window = window
    for layer in model.model.layers:
        layer.self_attn.sliding_window = window if layer.self_attn.sliding_window else None
    random = np.random.default_rng(0)
    header = random.integers(5, 400, 40).tolist()
    rows = [
        row_of(header + random.integers(5, 400, size).tolist(), [0] * 60 + [1] * (size - 20)) for size in (500, 30, 290)
    ]
    engine = LossEngine(model)
    assert engine.packs
    expected = [label_loss(model, row) for row in rows]
    np.testing.assert_allclose(engine.nll_sums(rows) / [row.token_count for row in rows], expected, rtol=0, atol=1e-5)


def test_segments_too_long_for_blocks_give_the_losses_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.engine.packed_attention.LONGEST_IN_BLOCKS", 50)
    model = make_model("gpt2")  # several key heads
    random = np.random.default_rng(0)
    header = random.integers(5, 400, 20).tolist()
    rows = [row_of(header + random.integers(5, 400, size).tolist(), [0] * 20 + [1] * size) for size in (60, 20, 90)]
    engine = LossEngine(model)
    assert engine.packs
    expected = [label_loss(model, row) for row in rows]
    np.testing.assert_allclose(engine.nll_sums(rows) / [row.token_count for row in rows], expected, rtol=0, atol=1e-5)


def test_packs_made_ahead_by_a_thread_give_the_same_losses(
    mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("gemma3")
    engines = [LossEngine(model), LossEngine(model, EngineOptions(packed=False))]
    expected = losses_of(model, mixed)
    monkeypatch.setattr(LossEngine, "packs_ahead", property(lambda engine: engine.packs))
    for chosen in (engines[:1], engines):
        losses = np.full(len(mixed), np.nan)
        for batch in ResponseScorer(chosen, 300).losses(mixed):
            for sums in batch.by_engine:
                losses[list(batch.rows)] = sums / [mixed[row].token_count for row in batch.rows]
                np.testing.assert_allclose(losses[list(batch.rows)], expected[list(batch.rows)], rtol=0, atol=1e-5)
        assert not np.isnan(losses).any()


def test_the_model_is_left_with_its_own_attention(mixed: list[Encoded]) -> None:
    model: Any = make_model("llama")
    before = model.config._attn_implementation
    losses_of(model, mixed)
    assert model.config._attn_implementation == before


def test_a_window_that_a_layer_leaves_to_the_mask_is_not_packed() -> None:
    config = SimpleNamespace(sliding_window=4096, num_hidden_layers=2, layer_types=None)
    check_windows(config, {0: 4096, 1: 4096})
    with pytest.raises(PackingUnsupported, match="do not state their sliding window"):
        check_windows(config, {0: None, 1: None})
    config.layer_types = ["chunked_attention", "full_attention"]
    with pytest.raises(PackingUnsupported, match="not all full or sliding"):
        check_windows(config, {0: None, 1: None})


def test_a_row_that_changes_the_rotary_embedding_of_others_is_computed_alone() -> None:
    torch.manual_seed(0)
    shape = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    config = LlamaConfig(
        **shape, vocab_size=400, initializer_range=0.2, max_position_embeddings=32, rope_parameters=rope
    )
    model = LlamaForCausalLM(config).eval()
    rows = [row_of(list(range(5, 5 + size)), [0] + [1] * (size - 1)) for size in (20, 90, 25, 60, 31)]
    engine = LossEngine(model)
    assert [batch.rows for batch in engine.plan([len(row.input_ids) for row in rows], 1000)][:2] == [(1,), (3,)]
    expected = [label_loss(model, row) for row in rows]  # a short one before each long one
    np.testing.assert_allclose(losses_of(model, rows), expected, rtol=0, atol=1e-5)
    counts = [row.token_count for row in rows]
    np.testing.assert_allclose(engine.nll_sums(rows) / counts, expected, rtol=0, atol=1e-5)
    assert measure_noise(model, rows) < 1e-5


def test_soft_capped_logits_are_capped() -> None:
    # Capped at 2, no token can be less likely than 1 / (400 exp(4)); without the cap these losses pass that by far.
    model: Any = make_model("gemma2")
    row = row_of(list(range(5, 60)), [0] + [1] * 54)
    with torch.no_grad():
        model.model.norm.weight.fill_(20.0)
    assert LossEngine(model).splits
    capped = losses_of(model, [row])[0]
    assert capped == pytest.approx(label_loss(model, row), abs=1e-5)
    model.config.final_logit_softcapping = None
    assert capped < np.log(400) + 4 < losses_of(model, [row])[0]


def test_the_log_softmax_of_bfloat16_logits_is_taken_in_float32() -> None:
    model = NextTokenTable().to(torch.bfloat16)
    logits = (model.logits + 5.0).float()[1]
    expected = float((torch.logsumexp(logits, 0) - logits[2]).detach())
    assert losses_of(model, [row_of([1, 2], [0, 1])])[0] == pytest.approx(expected, abs=1e-6)


# The end of turn


def end_losses_by_logits(model: Any, row: Encoded, end: str) -> list[float]:
    """Loss [nats] of every scored end-of-turn token of a row, from the whole model's logits: found by its id, not by
    the encoder."""
    number = make_tokenizer().convert_tokens_to_ids(end)
    with torch.inference_mode():
        logits = model(input_ids=torch.from_numpy(row.input_ids.astype(np.int64))[None]).logits[0]
    losses = -torch.log_softmax(logits.float(), 1)
    places = [place for place in range(1, len(row.scored)) if row.scored[place] and row.input_ids[place] == number]
    return [float(losses[place - 1, number]) for place in places]


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("template", ["chat", "alpaca"])
def test_the_end_of_turn_has_the_loss_of_its_logits(
    model: torch.nn.Module, template: str, options: EngineOptions
) -> None:
    rows = encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec(template))
    expected = [end_losses_by_logits(model, row, "<|end|>" if template == "chat" else EOS) for row in rows]
    assert [len(losses) for losses in expected] == [1, 1, 1, 1, 3, 1, 1, 1, 1, 2]  # one for each reply
    nll_sums, end_sums = LossEngine(model, options).row_sums(rows)
    np.testing.assert_allclose(end_sums, [sum(losses) for losses in expected], rtol=0, atol=1e-4)
    assert end_sums[1] == pytest.approx(nll_sums[1])  # an empty reply: nothing but its end
    assert all(end_sums[[0, *range(2, 10)]] < nll_sums[[0, *range(2, 10)]])


def test_summing_the_end_of_turn_changes_no_bit_of_the_losses(model: torch.nn.Module, mixed: list[Encoded]) -> None:
    without = [replace(row, is_end=np.zeros_like(row.is_end)) for row in mixed]
    engine = LossEngine(model)
    with torch.inference_mode():
        row_index, losses = engine._losses(mixed)
        sums = torch.zeros(len(mixed), dtype=torch.float64).index_add_(0, row_index, losses.double())
    assert engine.row_sums(mixed)[0].tolist() == engine.nll_sums(without).tolist() == sums.tolist()


def test_a_batch_brings_the_end_losses_of_every_model(mixed: list[Encoded]) -> None:
    engines = [LossEngine(make_model("llama", seed)) for seed in (0, 1)]
    expected = [engine.row_sums(mixed)[1] for engine in engines]
    for batch in ResponseScorer(engines, 300).losses(mixed):
        for found, of_all in zip(batch.ends_by_engine, expected, strict=True):
            np.testing.assert_allclose(found, of_all[list(batch.rows)], rtol=0, atol=1e-4)


# Token by token


def test_the_token_losses_of_a_toy_are_what_a_person_computes_by_hand() -> None:
    losses = LossEngine(NextTokenTable()).token_losses(row_of([0, 1, 2, 2, 0], [0, 1, 0, 1, 1]))
    assert losses.tolist() == pytest.approx([1.386294, 0.356675, 2.302585], abs=1e-5)


def test_the_token_losses_of_a_row_add_up_to_what_it_scores_in_a_batch(
    model: torch.nn.Module, mixed: list[Encoded]
) -> None:
    engine = LossEngine(model)
    for row, nll_sum in zip(mixed, engine.nll_sums(mixed), strict=True):
        losses = engine.token_losses(row)
        assert len(losses) == row.token_count
        assert losses.sum() == pytest.approx(nll_sum, rel=1e-5)


# Batching and padding


def test_batched_equals_one_by_one(model: torch.nn.Module, mixed: list[Encoded]) -> None:
    alone = np.concatenate([losses_of(model, [row]) for row in mixed])
    np.testing.assert_allclose(losses_of(model, mixed, 100_000), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("token_budget", [1, 64, 700, 100_000])
def test_the_batch_budget_does_not_change_a_loss(mixed: list[Encoded], token_budget: int) -> None:
    model = make_model("gemma2")
    np.testing.assert_allclose(losses_of(model, mixed, token_budget), losses_of(model, mixed, 2048), rtol=0, atol=1e-5)


def test_the_order_of_rows_does_not_change_a_loss(mixed: list[Encoded]) -> None:
    model = make_model("llama")
    backwards = losses_of(model, mixed[::-1])[::-1]
    np.testing.assert_allclose(losses_of(model, mixed), backwards, rtol=0, atol=1e-5)


@pytest.mark.parametrize("template", ["chat", "alpaca", "plain"])
def test_a_pad_that_is_the_eos_changes_no_loss(template: str) -> None:
    rows = {}
    for pad in ("<pad>", EOS, None):
        rows[pad] = encode_examples(MIXED_EXAMPLES, make_tokenizer(pad=pad), encoding_spec(template))
    own, *others = (losses_of(make_model("llama"), encoded) for encoded in rows.values())
    for losses in others:
        assert losses.tolist() == own.tolist()


def test_tokens_under_the_padding_are_never_seen() -> None:
    ids, mask = padded([row_of([7, 8, 9], [0, 1, 1]), row_of([5], [0])], torch.device("cpu"))
    assert ids.tolist() == [[7, 8, 9], [5, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_batches_hold_every_row_once_within_the_budget_and_longest_first() -> None:
    lengths = [3, 50, 7, 7, 120, 1, 33]
    batches = plan_batches(lengths, 100)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(7))
    assert batches[0].rows == (4,)  # longer than the budget: a batch of its own
    assert all(len(batch.rows) * batch.length <= 100 for batch in batches[1:])
    assert [batch.length for batch in batches] == sorted((batch.length for batch in batches), reverse=True)
    assert all(batch.length == max(lengths[row] for row in batch.rows) for batch in batches)


def test_rows_without_a_scored_token_are_passed_over() -> None:
    empty = Encoded(np.zeros(0, np.int32), np.zeros(0, np.bool_), False, "response has no token")
    losses = losses_of(NextTokenTable(), [empty, row_of([0, 1], [0, 1])])
    assert np.isnan(losses[0])
    assert losses[1] == pytest.approx(1.386294, abs=1e-5)


def test_no_rows_give_no_batches() -> None:
    assert list(response_losses(NextTokenTable(), [], 100)) == []


def test_scoring_in_small_head_chunks_changes_nothing(mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("qwen2")
    whole = losses_of(model, mixed)
    monkeypatch.setattr("core.engine.loss_engine._HEAD_CHUNK_BYTES", 4 * 400 * 3)  # three positions a chunk
    np.testing.assert_allclose(losses_of(model, mixed), whole, rtol=0, atol=1e-5)


def test_a_loss_that_is_not_finite_stays_so_and_spoils_no_other_row(mixed: list[Encoded]) -> None:
    model = make_model("llama")
    expected = losses_of(model, mixed)
    poison = 6  # a token id that the second row alone is made to hold
    rows = [row if poison not in row.input_ids else None for row in mixed]
    kept = [row for row in rows if row is not None][:3]
    assert len(kept) == 3
    with torch.no_grad():
        model.model.embed_tokens.weight[poison] = torch.nan
    losses = losses_of(model, [*kept, row_of([5, poison, 7], [0, 0, 1])])
    assert np.isnan(losses[-1])
    indices = [index for index, row in enumerate(rows) if row is not None][:3]
    np.testing.assert_allclose(losses[:3], expected[indices], rtol=0, atol=1e-5)


def test_a_lora_adapter_changes_the_losses_and_still_agrees_with_labels(mixed: list[Encoded]) -> None:
    from peft import LoraConfig, get_peft_model

    base = losses_of(make_model("llama"), mixed)
    torch.manual_seed(3)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = get_peft_model(make_model("llama"), config).eval()
    losses = losses_of(adapted, mixed)
    np.testing.assert_allclose(losses, [label_loss(adapted, row) for row in mixed], rtol=0, atol=1e-5)
    assert np.abs(losses - base).min() > 1e-3


def adapted(family: str, **options: Any) -> Any:
    """A tiny model under a LoRA adapter of random weights, large enough to change every loss."""
    from peft import LoraConfig, get_peft_model

    model = make_model(family)
    torch.manual_seed(3)
    names = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    layers = {"target_modules": sorted(names - {"lm_head"}) or ["c_attn"], **options}
    return get_peft_model(model, LoraConfig(r=2, init_lora_weights=False, task_type="CAUSAL_LM", **layers)).eval()


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("family", ["llama", "llama-tied", "gemma2", "gemma3", "gpt2"])
def test_on_one_set_of_weights_adapter_on_and_off_give_what_each_model_gives_alone(
    family: str, options: EngineOptions
) -> None:
    rows = encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec("alpaca"))
    counts = [row.token_count for row in rows]
    both = adapted(family)
    engines = [LossEngine(both, options, without_adapter=True), LossEngine(both, options)]
    for batch in ResponseScorer(engines, 700).losses(rows):
        for model, sums in zip((make_model(family), adapted(family)), batch.by_engine, strict=True):
            alone = [label_loss(model, rows[row]) for row in batch.rows]
            np.testing.assert_allclose(sums / [counts[row] for row in batch.rows], alone, rtol=0, atol=1e-5)
        assert np.abs(batch.by_engine[0] - batch.by_engine[1]).min() > 1e-3


@pytest.mark.parametrize(
    "options", [{"target_modules": ["lm_head", "q_proj"]}, {"modules_to_save": ["lm_head"]}], ids=["LoRA", "trained"]
)
def test_an_adapter_that_reaches_the_head_is_on_and_off_there_too(options: dict[str, Any]) -> None:
    rows = encode_examples(MIXED_EXAMPLES[:4], make_tokenizer(), encoding_spec("alpaca"))
    both = adapted("llama", **options)
    if "modules_to_save" in options:
        with torch.no_grad():
            both.base_model.model.lm_head.modules_to_save["default"].weight.mul_(1.5)
    off, on = LossEngine(both, without_adapter=True), LossEngine(both)
    assert "head: scored positions, full logits" in on.path
    counts = [row.token_count for row in rows]
    for engine, model in ((off, make_model("llama")), (on, both)):
        expected = [label_loss(model, row) for row in rows]
        np.testing.assert_allclose(engine.nll_sums(rows) / counts, expected, rtol=0, atol=1e-5)


# Noise


class MovedInABatch(LossEngine):
    """Sums that rise by 0.03 nats per token as soon as a row has another beside it."""

    def nll_sums(self, encoded: Sequence[Encoded]) -> NDArray[np.float64]:
        moved = 0.03 if len(encoded) > 1 else 0.0
        return super().nll_sums(encoded) + moved * np.array([row.token_count for row in encoded])


def test_the_noise_floor_is_how_far_the_rest_of_a_batch_moves_a_loss(mixed: list[Encoded]) -> None:
    model = make_model("llama")
    assert measure_noise(model, mixed) < 1e-5, "float32"
    assert measure_noise(MovedInABatch(model), mixed) == pytest.approx(0.03, abs=1e-5)
    # In bfloat16 it depends on the processor: some round a row alike alone and in a batch.
    assert measure_noise(model.to(torch.bfloat16), mixed) < 0.5


def test_the_noise_of_nothing_to_score_is_zero() -> None:
    assert measure_noise(NextTokenTable(), []) == 0.0


# Memory


def runs_out_above(tokens: int, computed: list[int]) -> Callable[..., NDArray[np.float64]]:
    """`LossEngine.row_sums` on a GPU whose memory ends at a batch of so many tokens."""
    real = LossEngine.row_sums

    def row_sums(engine: LossEngine, rows: Sequence[Encoded], pack: PackTensors | None) -> NDArray[np.float64]:
        size = sum(len(row.input_ids) for row in rows)
        if size > tokens:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        computed.append(size)
        return real(engine, rows, pack)

    return row_sums


def test_when_memory_runs_out_the_budget_is_halved_and_every_row_computed_once(
    mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("llama")
    expected = losses_of(model, mixed)
    longest = max(len(row.input_ids) for row in mixed)
    computed: list[int] = []
    monkeypatch.setattr(LossEngine, "row_sums", runs_out_above(longest + 10, computed))
    log: list[str] = []
    losses = np.full(len(mixed), np.nan)
    for batch in response_losses(model, mixed, 16 * longest, log.append):  # its first batch does not fit
        assert np.isnan(losses[list(batch.rows)]).all()
        losses[list(batch.rows)] = batch.nll_sums / [mixed[row].token_count for row in batch.rows]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-5)
    halved = [line for line in log if "ran out" in line]
    assert halved[0] == f"GPU memory ran out; continuing with a batch size of {8 * longest:,} tokens"
    assert len(halved) >= 2
    assert max(computed) <= longest + 10


def test_a_single_row_that_does_not_fit_is_said_with_its_length(
    mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = max(len(row.input_ids) for row in mixed)
    monkeypatch.setattr(LossEngine, "row_sums", runs_out_above(longest - 1, []))
    with pytest.raises(ModelUnusable, match=f"a single row of {longest:,} tokens. Lower --max-length"):
        losses_of(make_model("llama"), mixed)


@pytest.mark.parametrize("step", ["trunk_states", "LossEngine._packed_states"])
def test_a_model_that_leaves_no_memory_for_a_few_tokens_is_refused(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def runs_out(*_: object) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(f"core.engine.loss_engine.{step}", runs_out)
    with pytest.raises(ModelUnusable, match="GPU memory ran out on the model's first few tokens"):
        LossEngine(make_model("llama"))


def test_float32_is_computed_in_full_whatever_the_environment_asked_for() -> None:
    torch.set_float32_matmul_precision("high")  # as NVIDIA's containers do
    LossEngine(make_model("llama"))
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32


def test_measuring_noise_goes_on_with_fewer_rows_when_memory_runs_out(
    mixed: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    monkeypatch.setattr(LossEngine, "row_sums", runs_out_above(600, computed))
    assert measure_noise(make_model("llama"), mixed) < 1e-5
    assert computed
