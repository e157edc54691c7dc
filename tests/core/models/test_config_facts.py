"""Facts that families state under names of their own: the longest input, the rows of the embedding."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core.models.config_facts import embedding_rows, window_length


def folder_with(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if tokenizer is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "llama", "max_position_embeddings": 4096}, 4096),
        ({"model_type": "gpt2", "n_positions": 1024, "n_ctx": 1024}, 1024),
        ({"model_type": "gptj", "n_positions": 2048}, 2048),
        ({"model_type": "codegen", "n_positions": 2048, "n_ctx": 2048}, 2048),
        ({"model_type": "gpt_bigcode", "n_positions": 8192}, 8192),
        ({"model_type": "openai-gpt", "n_positions": 512}, 512),
        ({"model_type": "mpt", "max_seq_len": 2048}, 2048),
        ({"model_type": "dbrx", "max_seq_len": 32768}, 32768),
        ({"model_type": "whisper", "max_target_positions": 448, "max_source_positions": 1500}, 448),
        ({"model_type": "rwkv", "context_length": 1024}, 1024),
        ({"model_type": "kimi_linear", "model_max_length": 8192}, 8192),
        ({"model_type": "bloom", "seq_length": 2048}, 2048),
        ({"model_type": "bloom"}, None),
        ({"model_type": "mamba"}, None),
        ({"model_type": "gpt2", "n_positions": 512, "max_position_embeddings": 1024}, 512),
        ({"model_type": "phi3", "max_position_embeddings": 4096, "original_max_position_embeddings": 2048}, 4096),
        ({"model_type": "opt", "max_position_embeddings": 2048}, 2048),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "llava", "text_config": {"max_position_embeddings": 4096}}, 4096),
        ({"model_type": "q", "thinker_config": {"text_config": {"max_position_embeddings": 32768}}}, 32768),
        ({"model_type": "mistral3", "max_position_embeddings": 99, "text_config": {"model_type": "mistral"}}, 99),
    ],
    ids=lambda value: value.get("model_type") if isinstance(value, dict) else None,
)
def test_the_longest_input_is_found_by_every_familys_name(
    config: dict[str, Any], expected: int | None, tmp_path: Path
) -> None:
    assert window_length(folder_with(tmp_path / "model", config)) == expected


@pytest.mark.parametrize("value", [None, 0, -1, True, "2048", [2048], 1e30, 2.5])
def test_what_is_no_length_is_no_limit(value: object, tmp_path: Path) -> None:
    assert window_length(folder_with(tmp_path / "model", {"max_position_embeddings": value})) is None


@pytest.mark.parametrize(("length", "expected"), [(2048, 2048), (int(1e30), None), (1e30, None)])
def test_the_tokenizers_length_counts_where_the_config_has_none_and_it_is_a_number(
    length: float, expected: int | None, tmp_path: Path
) -> None:
    tokenizer = {"model_max_length": length}
    assert window_length(folder_with(tmp_path / "model", {"model_type": "mamba"}, tokenizer)) == expected
    config = {"model_type": "llama", "max_position_embeddings": 8192}
    assert window_length(folder_with(tmp_path / "model", config, tokenizer)) == 8192


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"vocab_size": 448}, 448),
        ({"n_words": 300}, 300),
        ({"text_config": {"vocab_size": 320}, "vocab_size": 7}, 320),
        ({"text_config": {}}, None),
    ],
)
def test_rows_of_the_embedding_are_read_from_the_config(
    config: dict[str, Any], expected: int | None, tmp_path: Path
) -> None:
    assert embedding_rows(folder_with(tmp_path / "model", config)) == expected


def test_an_adapter_that_brings_an_embedding_has_its_rows(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "model", {"vocab_size": 400})
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    lora = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(2, 32)}
    save_file(lora, adapter / "adapter_model.safetensors")
    assert embedding_rows(folder, adapter) == 400
    more = {"base_model.model.model.embed_tokens.weight": torch.zeros(403, 32)}
    save_file({**lora, **more}, adapter / "adapter_model.safetensors")
    assert embedding_rows(folder, adapter) == 403
