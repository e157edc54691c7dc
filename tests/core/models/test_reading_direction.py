"""A model that reads to the right is found out when it is loaded, and no causal one is taken for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from core.data.errors import ModelUnusable
from core.models.loading import load_model
from core.models.reading_direction import reads_to_the_right
from core.models.resolving import ModelSpec
from tests.tiny_models import FAMILIES, make_model, make_tokenizer, spec_of


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_bert(is_decoder: bool, spread: float = 0.02) -> torch.nn.Module:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=400, **shape, is_decoder=is_decoder, initializer_range=spread)
    return BertLMHeadModel(config).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_causal_model_reads_to_the_left(family: str, dtype: torch.dtype) -> None:
    assert not reads_to_the_right(make_model(family).to(dtype))


@pytest.mark.parametrize("spread", [0.02, 0.2])
def test_a_model_of_both_directions_reads_to_the_right_whatever_its_weights(spread: float) -> None:
    assert reads_to_the_right(make_bert(False, spread))
    assert not reads_to_the_right(make_bert(True, spread))


def test_a_model_of_both_directions_reads_to_the_right_in_bfloat16() -> None:
    assert reads_to_the_right(make_bert(False, 0.2).to(torch.bfloat16))
    assert not reads_to_the_right(make_bert(True, 0.2).to(torch.bfloat16))


class _Noisy(torch.nn.Module):
    """A causal model whose logits are never twice the same."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def forward(self, **inputs: Any) -> Any:
        logits = self.model(**inputs).logits
        return SimpleNamespace(logits=logits + 0.01 * torch.randn_like(logits))


def test_noise_of_the_models_own_is_not_taken_for_reading_to_the_right() -> None:
    torch.manual_seed(0)
    assert not reads_to_the_right(_Noisy(make_model("llama")))


def saved(folder: Path, model: Any) -> ModelSpec:
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return spec_of(folder, label="backwards")


def test_loading_refuses_a_model_that_reads_to_the_right(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"'backwards' is not causal.* its losses are meaningless"):
        load_model(saved(tmp_path / "bert", make_bert(False)), "float32", "cpu")


def test_loading_takes_the_same_architecture_as_a_decoder(tmp_path: Path) -> None:
    assert load_model(saved(tmp_path / "bert", make_bert(True)), "float32", "cpu") is not None
