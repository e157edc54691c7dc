"""The comparison of architectures itself, on kinds whose losses once differed or that are loaded otherwise."""

from pathlib import Path

import pytest
import torch

from bench.architectures import TOLERANCE, examine, tiny_model
from core.models.config_facts import embedding_rows
from core.models.kinds import IMAGE_TEXT_MODELS


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("qwen2_vl", "agrees, packed"),
        ("qwen2_5_vl", "agrees, packed"),
        ("qwen3_vl", "agrees, packed"),
        ("mistral3", "agrees, packed"),
        ("llava", "agrees, packed"),
        ("llava_next", "agrees, packed"),
        ("got_ocr2", "agrees, packed"),  # of its two parts one takes no other attention
        ("roberta", "agrees, whole logits"),  # its positions begin behind the padding's id
        ("opt", "agrees, packed"),
        ("bloom", "agrees, padded"),
        ("prophetnet", "reads to the right"),
    ],
)
def test_a_kind_is_computed_as_its_own_forward_computes_it(kind: str, verdict: str) -> None:
    found = examine(kind)
    assert found.verdict == verdict, found
    assert found.difference is None or found.difference <= TOLERANCE


def test_a_kind_that_cannot_be_made_small_says_why() -> None:
    found = examine("blt")
    assert (found.verdict, found.difference) == ("cannot be made small", None)
    assert "weights" in found.detail


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mamba", "opt", "bloom", "rwkv", "qwen2_vl", "gemma3_text", "xlm"])
def test_rows_of_the_embedding_are_those_of_the_loaded_model(kind: str, tmp_path: Path) -> None:
    model = tiny_model(kind)
    model.config.save_pretrained(tmp_path)
    assert embedding_rows(tmp_path) == model.get_input_embeddings().num_embeddings


def test_the_named_vision_language_models_are_read() -> None:
    assert {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "mistral3", "llava", "llava_next"} <= IMAGE_TEXT_MODELS
