"""On a machine with a GPU: the engine's losses there are those of the processor, by every way; training runs there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.data.encoded import Encoded
from core.encoding.encode import encode_examples
from core.engine.loss_engine import EngineOptions, LossEngine
from core.engine.response_loss import ResponseScorer
from core.engine.training_engine import TrainingEngine
from core.jobs.job import Job
from core.training.trainer import ReferenceTrainer
from tests.tiny_models import FAMILIES, MIXED_EXAMPLES, encoding_spec, make_model, make_tokenizer

if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)
DEVICE = "cuda"
WAYS = {
    "all": EngineOptions(),
    "padded": EngineOptions(packed=False),
    "no chunked cross-entropy": EngineOptions(tiled=False),
    "not varlen": EngineOptions(varlen=False),
}


@pytest.fixture(scope="module")
def rows() -> list[Encoded]:
    encoded = encode_examples(MIXED_EXAMPLES, make_tokenizer(), encoding_spec("alpaca"))
    return [row for row in encoded if row.reason is None]


def losses_on(
    device: str, dtype: torch.dtype, family: str, rows: list[Encoded], options: EngineOptions
) -> NDArray[np.float64]:
    """Nats per token, packed ahead and batch by batch as a job computes them."""
    engine, losses = LossEngine(make_model(family).to(device, dtype), options), np.full(len(rows), np.nan)
    for batch in ResponseScorer([engine], 700).losses(rows):
        losses[list(batch.rows)] = batch.nll_sums / [rows[row].token_count for row in batch.rows]
    return losses


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_in_float32_a_gpu_gives_the_losses_of_the_processor(
    family: str, options: EngineOptions, rows: list[Encoded]
) -> None:
    there, here = (losses_on(device, torch.float32, family, rows, options) for device in (DEVICE, "cpu"))
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_in_bfloat16_a_gpu_is_as_near_to_float32_as_the_processor(
    family: str, options: EngineOptions, rows: list[Encoded]
) -> None:
    exact = losses_on("cpu", torch.float32, family, rows, options)
    there, here = (
        np.abs(losses_on(device, torch.bfloat16, family, rows, options) - exact) for device in (DEVICE, "cpu")
    )
    assert there.mean() < 2 * here.mean() + 1e-3


@pytest.mark.parametrize("family", ["llama", "gemma3", "mistral", "gpt2"])
def test_from_ampere_on_attention_is_of_variable_length(family: str) -> None:
    engine = LossEngine(make_model(family).to(DEVICE, torch.bfloat16))
    expected = torch.cuda.get_device_capability() >= (8, 0)
    assert ("packed, prefix sharing, variable-length attention" in engine.path) == expected, engine.path


def test_a_reference_is_trained_on_it_in_bfloat16(tmp_path: Path, rows: list[Encoded]) -> None:
    request = {"batch_tokens": 4096, "seed": 0, "epochs": 1.0, "learning_rate": 1e-3, "device": DEVICE}
    model, seen = make_model("llama").to(DEVICE), set()
    model.model.layers[0].mlp.up_proj.register_forward_hook(lambda *given: seen.add(given[2].dtype))
    trainer = ReferenceTrainer(Job(tmp_path), model, rows, ["all"] * len(rows), request, TrainingEngine(model), 4096)
    trainer.train()
    assert seen == {torch.bfloat16}
    assert trainer.state.global_step == 1
