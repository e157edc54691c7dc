"""Facts that a model's config.json states, whatever its family calls them; read without loading anything."""

from pathlib import Path
from typing import Any

from .folder_check import read_json
from .weight_files import tensor_shapes

_TEXT_PARTS = ("text_config", "thinker_config", "llm_config", "language_config", "lm_config", "decoder")
"""Where a model of several parts keeps the config of the one that reads text."""

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "max_target_positions")
"""Positions that a model has, by families' names: GPT-2, GPT-J, CodeGen and CTRL say n_positions, MPT and DBRX
max_seq_len, Whisper max_target_positions. The smallest holds where several stand."""

_TRAINED_LENGTHS = ("n_ctx", "context_length", "max_seq_length", "seq_length", "model_max_length")
"""Lengths that a model was trained at, where no number of positions is given: RWKV says context_length, Bloom
seq_length, Kimi Linear model_max_length."""

_LONGEST_SANE = 2**27
"""Tokenizers that know no limit write 1e30."""

OFFSET_POSITIONS = (
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "data2vec-text",
    "xmod",
    "longformer",
)
"""Families that count positions from behind the id of their padding, and so have fewer than their config says."""

_VOCABULARIES = ("vocab_size", "n_words", "n_vocab")
INPUT_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in", "embeddings", "tok_embeddings")
"""What families call the layer that turns ids into states."""


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config that describes the model of text: all of it, where there is no other part."""
    for name in _TEXT_PARTS:
        if isinstance(part := config.get(name), dict):
            return text_part(part)
    return config


def window_length(folder: Path) -> int | None:
    """Longest sequence that the model in a folder was made for [tokens], if its config or its tokenizer's says.

    None for a model without a limit, such as one with ALiBi or with a state instead of positions.
    """
    config = read_json(folder / "config.json")
    part = text_part(config)
    for names, source in ((_LENGTHS, part), (_TRAINED_LENGTHS, part), (_LENGTHS, config)):
        if found := [length for name in names if (length := _length(source.get(name)))]:
            return max(1, min(found) - _offset(part))
    return _length(read_json(folder / "tokenizer_config.json").get("model_max_length"))


def embedding_rows(folder: Path, adapter: Path | None = None) -> int | None:
    """Rows of a model's input embedding, which is how many ids it can read; None where its config does not say.

    An adapter that brings an embedding of its own, with tokens added, goes before.
    """
    for name, shape in tensor_shapes(adapter / "adapter_model.safetensors").items() if adapter else ():
        parts = name.split(".")
        if len(shape) == 2 and parts[-1] == "weight" and set(parts[-3:-1]) & set(INPUT_EMBEDDINGS):
            return shape[0]
    part = text_part(read_json(folder / "config.json"))
    return next((size for name in _VOCABULARIES if (size := _length(part.get(name)))), None)


def _offset(config: dict[str, Any]) -> int:
    if config.get("model_type") not in OFFSET_POSITIONS:
        return 0
    pad = config.get("pad_token_id", 1)
    return pad + 1 if isinstance(pad, int) else 0


def _length(value: Any) -> int | None:
    """A number of tokens as an int; None for what is none, or stands for no limit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value <= _LONGEST_SANE and value == int(value) else None
