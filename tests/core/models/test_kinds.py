"""What a model is, said when it is named: kinds without causal losses, and folders of other programs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from core.data.errors import ModelUnusable
from core.models.kinds import IMAGE_TEXT_MODELS
from core.models.resolving import resolve_model


def folder_with(folder: Path, config: dict[str, Any]) -> Path:
    """A folder of a config alone: kinds are told before weights are looked for."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


VISION = {"vision_config": {"hidden_size": 8}, "text_config": {"model_type": "llama"}}


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "is an encoder-decoder (T5For"),
        ({"model_type": "mt5"}, "is an encoder-decoder (mt5)"),
        ({"model_type": "bart", "architectures": ["BartModel"], "is_encoder_decoder": True}, "is an encoder-decoder"),
        ({"model_type": "new", "is_encoder_decoder": True}, "is an encoder-decoder"),
        ({"model_type": "bert", "architectures": ["BertLMHeadModel"]}, "its attention is bidirectional"),
        ({"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]}, "is a masked language model"),
        ({"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]}, "is a masked language model"),
        ({"model_type": "own", "architectures": ["OwnForMaskedLM"]}, "is a masked language model"),
        ({"model_type": "llada", "architectures": ["LLaDAModelLM"]}, "is a diffusion language model"),
        ({"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"]}, "of speech or sound"),
        ({"model_type": "qwen2_audio", "text_config": {}}, "of speech or sound"),
        (
            {"model_type": "qwen3", "architectures": ["Qwen3ForSequenceClassification"]},
            "is a classifier, such as a reranker",
        ),
        ({"model_type": "llama", "architectures": ["LlamaForTokenClassification"]}, "a token classifier"),
        ({"model_type": "paligemma", **VISION}, "is a vision-language model of a kind that is not supported"),
        ({"model_type": "blip-2", **VISION}, "is a vision-language model of a kind that is not supported"),
    ],
    ids=lambda value: value.get("model_type") if isinstance(value, dict) else "",
)
def test_a_kind_without_causal_losses_is_said_when_it_is_named(
    config: dict[str, Any], what: str, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path / "model", config)
    with pytest.raises(ModelUnusable, match=re.escape(what) + r".*Choose a causal language model\."):
        resolve_model(str(folder), tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"model_type": "bert", "architectures": ["BertLMHeadModel"], "is_decoder": True},
        {"model_type": "bart", "architectures": ["BartForCausalLM"]},
        {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], **VISION},
        *({"model_type": kind, **VISION} for kind in sorted(IMAGE_TEXT_MODELS)),
        {"model_type": "unheard_of", "architectures": ["UnheardOfForCausalLM"]},
        {"model_type": "llama", "architectures": None},
        {"model_type": "llama", "architectures": "LlamaForCausalLM"},
    ],
    ids=lambda fields: str(fields.get("model_type")),
)
def test_a_kind_with_causal_losses_is_taken(fields: dict[str, Any], saved: Path, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model", fields)
    (folder / "model.safetensors").symlink_to(folder / "weights.safetensors")
    (folder / "weights.safetensors").write_bytes((saved / "model.safetensors").read_bytes())
    assert resolve_model(str(folder), tmp_path).path == str(folder)


def test_an_embedding_model_without_a_head_is_said(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model", {"model_type": "qwen3", "architectures": ["Qwen3Model"]})
    with pytest.raises(ModelUnusable, match=r"has no \*\.safetensors"):
        resolve_model(str(folder), tmp_path)
    (folder / "modules.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelUnusable, match=r"is an embedding model \(Qwen3Model\)"):
        resolve_model(str(folder), tmp_path)


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("model_index.json", "is a diffusers pipeline, which generates images"),
        ("comet-q4_k_m.gguf", r"has weights for llama\.cpp \(GGUF\), which are not supported"),
        ("model.onnx", "has weights for ONNX, which are not supported"),
    ],
)
def test_a_folder_of_another_program_is_said(file: str, what: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / file).write_text("{}", encoding="utf-8")
    with pytest.raises(ModelUnusable, match=what):
        resolve_model(str(folder), tmp_path)


def test_weights_that_were_quantized_for_mlx_are_said(tmp_path: Path) -> None:
    config = {"model_type": "llama", "quantization": {"group_size": 64, "bits": 4}}
    with pytest.raises(ModelUnusable, match="is quantized for MLX"):
        resolve_model(str(folder_with(tmp_path / "model", config)), tmp_path)
