"""A cached loss is found again under its key: the same as in every version before, and another one for each change of
what it depends on."""

import json
import struct
from pathlib import Path

import pytest

from core.encoding.encoding_spec import EncodingSpec
from core.models.resolving import ModelSpec, resolve_model, tokenizer_fingerprint

SHAPE = {"hidden_size": 2, "vocab_size": 3, "num_hidden_layers": 1, "max_position_embeddings": 4096}
TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2}, "unk_token": "a"},
}
DATED = "{{ strftime_now('%d %b %Y') }}{% for message in messages %}{{ message.content }}{% endfor %}"


def write_json(path: Path, fields: dict[str, object]) -> None:
    path.write_text(json.dumps(fields), encoding="utf-8")


def write_tensor(path: Path, name: str, rows: int) -> None:
    """A safetensors file with one tensor of [rows x 2], written byte by byte so that its hash stays."""
    table = json.dumps({name: {"dtype": "F32", "shape": [rows, 2], "data_offsets": [0, 8 * rows]}}).encode()
    path.write_bytes(struct.pack("<Q", len(table)) + table + struct.pack(f"<{2 * rows}f", *range(2 * rows)))


def write_model(folder: Path, kind: str = "llama") -> Path:
    folder.mkdir()
    write_json(folder / "config.json", {"model_type": kind, "is_decoder": True, **SHAPE})
    write_tensor(folder / "model.safetensors", "model.embed_tokens.weight", 3)
    write_json(folder / "tokenizer.json", TOKENIZER)
    (folder / "chat_template.jinja").write_text(DATED, encoding="utf-8")
    return folder


def write_adapter(folder: Path) -> Path:
    folder.mkdir()
    write_json(folder / "adapter_config.json", {"peft_type": "LORA", "r": 1})
    write_tensor(folder / "adapter_model.safetensors", "base_model.model.model.norm.lora_A.weight", 1)
    return folder


# What is cached stays


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, ModelSpec]:
    """A model, an adapter on it, and a model of a family that has positions of its own."""
    base = resolve_model(str(write_model(tmp_path / "base")), tmp_path)
    return {
        "model": base,
        "adapter": resolve_model(str(write_adapter(tmp_path / "adapter")), tmp_path, base),
        "roberta": resolve_model(str(write_model(tmp_path / "roberta", "roberta")), tmp_path),
    }


@pytest.mark.parametrize(
    ("model", "dtype", "key"),
    [
        ("model", "float32", "865fda33ee0a39c561dd2331f43e304f"),
        ("model", "bfloat16", "2535d45dc9a17ba7ff4238737231f0ab"),
        ("adapter", "float32", "1bcc07e2577020da8a929e369c10603f"),
        ("adapter", "bfloat16", "556c8e66e5ba5a1cfd308437e2b7c84d"),
        ("roberta", "float32", "8976af70ad321f9f252284d091f94da3"),
    ],
)
def test_the_key_of_a_model_is_that_of_earlier_versions(
    specs: dict[str, ModelSpec], model: str, dtype: str, key: str
) -> None:
    assert specs[model].fingerprint(dtype) == key


def test_the_key_of_a_tokenizer_is_that_of_earlier_versions(specs: dict[str, ModelSpec]) -> None:
    assert tokenizer_fingerprint(specs["model"]) == "a8445422bca05de06398ef6d17b3b9d4"


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (EncodingSpec("alpaca", 2048, "t"), "e2c97f7b494d6f719ab717e286881506"),
        (EncodingSpec("plain", 2048, "t"), "45d7eb3e6e472e9bd862076a6b0f222a"),
        (EncodingSpec("chatml", 2048, "t"), "9df61e8c2baf893bd1131ea684c3b80e"),
        (EncodingSpec("chat", 2048, "t"), "d4c12b83b3f5114d2db3faa2679f7dcf"),
        (EncodingSpec("chat", 512, "t", day="2026-11-29"), "69a830efda2d3cfae7176a5feeee2295"),
        (EncodingSpec("chat", 2048, "t", replies="last"), "8acdb1e1ed42380a9d785dff01bd9302"),
        (
            EncodingSpec("chat", 2048, "t", chat_template=DATED, day="2026-11-29", replies="last"),
            "6b170172d947c26108a5e58c175c4e21",
        ),
        (EncodingSpec("chat", 2048, "t", version=1), "99ab8d0c76c072338924b85a60d66aa6"),
    ],
)
def test_the_key_of_an_encoding_is_that_of_earlier_versions(spec: EncodingSpec, key: str) -> None:
    assert spec.fingerprint == key
