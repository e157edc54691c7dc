"""Training on packed rows: the gradients are those of a plain loop, whatever a batch is divided into."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.encoded import Encoded
from core.encoding.encode import encode_examples
from core.engine.training_engine import TrainingEngine
from core.training.memory_plan import plan_memory
from core.training.trainable_model import with_lora
from core.training.trainer import ReferenceTrainer
from tests.tiny_models import FAMILIES, MIXED_EXAMPLES, encoding_spec, make_model, make_tokenizer

REQUEST = {"batch_tokens": 4096, "seed": 0, "epochs": 1.0, "learning_rate": 1e-3, "device": "cpu"}
_NO_ADAPTER = ("mamba", "lora")
"""peft refuses adapters on all linear layers of it."""
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def rows() -> list[Encoded]:
    """Rows of the Alpaca template: they share its beginning, and some are longer than the sliding windows."""
    encoded = encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec())
    return [row for row in encoded if row.reason is None]


def trained_model(family: str, method: str) -> Any:
    """A tiny model in training, nothing dropped out; its adapter is not zero, so that all of it has gradients."""
    model: Any = make_model(family)
    if method == "lora":
        model = with_lora(model, {"lora_rank": 4})
        torch.manual_seed(5)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return model.train()


def plain_gradients(model: Any, rows: list[Encoded]) -> Weights:
    """A row at a time, transformers' own loss, the mean over all scored tokens."""
    scored = sum(row.token_count for row in rows)
    for row in rows:
        input_ids = torch.from_numpy(row.input_ids.astype(np.int64))[None]
        labels = torch.where(torch.from_numpy(row.scored), input_ids, -100)
        loss = model(input_ids=input_ids, labels=labels, use_cache=False).loss
        (loss * row.token_count / scored).backward()
    return taken(model)


def taken(model: Any) -> Weights:
    """The gradients, which are cleared."""
    found = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


@pytest.fixture
def step_gradients(tmp_path: Path, rows: list[Encoded]) -> Callable[..., Weights]:
    """The gradients of one step of the trainer, in parts of so many tokens."""

    def step(model: Any, engine: TrainingEngine, part_tokens: int) -> Weights:
        trainer = ReferenceTrainer(tmp_path, model, rows, ["all"] * len(rows), REQUEST, engine, part_tokens)
        trainer.training_step(model, {"rows": list(range(len(rows)))})
        return taken(model)

    return step


def assert_equal(found: Weights, expected: Weights) -> None:
    """Each gradient within 1e-4 of its own size."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        off, size = float((found[name] - gradient).norm()), float(gradient.norm())
        assert off <= 1e-4 * size + 1e-9, f"{name}: {off} of {size}"


@pytest.mark.parametrize(
    ("family", "method"),
    [(family, method) for family in FAMILIES for method in ("lora", "full") if (family, method) != _NO_ADAPTER],
)
def test_the_gradients_of_a_step_are_those_of_a_plain_loop(
    family: str, method: str, rows: list[Encoded], step_gradients: Callable[..., Weights]
) -> None:
    model = trained_model(family, method)
    engine = TrainingEngine(model)
    assert engine.packs_in_training == (family not in ("gemma2", "mamba")), "these have caps or a running state"
    expected = plain_gradients(model, rows)
    assert len(expected) > 4
    for part_tokens in (300, 4096):
        assert_equal(step_gradients(model, engine, part_tokens), expected)


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_activations_computed_again_give_the_same_gradients(
    family: str, rows: list[Encoded], step_gradients: Callable[..., Weights]
) -> None:
    model = trained_model(family, "lora")
    engine = TrainingEngine(model)
    expected, kept = step_gradients(model, engine, 500), engine.kept_bytes(100)
    model.activation_checkpointing_enable()
    assert engine.kept_bytes(100) < kept / 2
    assert_equal(step_gradients(model, engine, 500), expected)


def test_a_model_that_drops_out_attention_trains_on_padded_rows() -> None:
    engine = TrainingEngine(make_model("gpt2"))
    assert engine.packs
    assert not engine.packs_in_training


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_a_batch_is_divided_in_order_into_parts_within_the_size(family: str, rows: list[Encoded]) -> None:
    engine = TrainingEngine(make_model(family))
    for part_tokens in (1, 200, 400, 10_000):
        parts = engine.parts(rows, part_tokens)
        assert [place for part in parts for place in part] == list(range(len(rows)))
        for part in parts:
            lengths = [len(rows[place].input_ids) for place in part]
            size = sum(lengths) if engine.packs_in_training else len(part) * max(lengths)
            assert len(part) == 1 or size <= part_tokens
    assert engine.parts(rows, 10_000) == [list(range(len(rows)))]


def test_short_memory_makes_parts_smaller_and_then_computes_activations_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained_model("llama", "lora")
    engine = TrainingEngine(model)
    ample = plan_memory(engine, model, [40, 300], 4096, "cpu")
    assert (ample.part_tokens, ample.recomputes) == (1024, False)
    assert plan_memory(engine, model, [40, 300], 600, "cpu").part_tokens == 600
    enough_for_700 = ample.peak_bytes - engine.kept_bytes(300) * (1024 - 700)
    monkeypatch.setattr("core.training.memory_plan.machine_memory", lambda: int(enough_for_700 / 0.6))
    smaller = plan_memory(engine, model, [40, 300], 4096, "cpu")
    assert (smaller.part_tokens, smaller.recomputes) == (512, False)
    assert smaller.peak_bytes <= smaller.limit_bytes < ample.peak_bytes
    monkeypatch.setattr("core.training.memory_plan.machine_memory", lambda: 1)
    assert plan_memory(engine, model, [40, 300], 4096, "cpu").recomputes
    assert model.get_base_model().model.gradient_checkpointing
