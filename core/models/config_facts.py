"""Facts in a model's config.json, under each family's names; read without loading anything."""

from pathlib import Path
from typing import Any

from .folder_check import ADAPTER_WEIGHTS, read_json
from .weight_files import tensor_shapes

_TEXT_PARTS = ("text_config", "thinker_config", "llm_config", "language_config", "lm_config", "decoder")
"""Where multi-part models keep the config of their text model."""

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "max_target_positions")
"""Names for the number of positions: n_positions in GPT-2, GPT-J, CodeGen and CTRL, max_seq_len in MPT and DBRX,
max_target_positions in Whisper. If there are several, the smallest is used."""

_TRAINED_LENGTHS = ("n_ctx", "context_length", "max_seq_length", "seq_length", "model_max_length")
"""Names for the training length, if no number of positions is given: context_length in RWKV, seq_length in Bloom,
model_max_length in Kimi Linear."""

_LONGEST_SANE = 2**27
"""Tokenizers without a limit write 1e30."""

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
"""Families that count positions from the padding id on, and so have fewer than their config says."""

_VOCABULARIES = ("vocab_size", "n_words", "n_vocab")
INPUT_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in", "embeddings", "tok_embeddings")
"""Names of the input embedding layer."""


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config for the text model; the whole config if it has no parts."""
    for name in _TEXT_PARTS:
        if isinstance(part := config.get(name), dict):
            return text_part(part)
    return config


def window_length(folder: Path) -> int | None:
    """Longest sequence that the model in a folder was made for [tokens], from its config or its tokenizer's.

    None for a model without a limit, such as one with ALiBi, or a recurrent one.
    """
    config = read_json(folder / "config.json")
    part = text_part(config)
    for names, source in ((_LENGTHS, part), (_TRAINED_LENGTHS, part), (_LENGTHS, config)):
        if found := [length for name in names if (length := _length(source.get(name)))]:
            return max(1, min(found) - _offset(part))
    return _length(read_json(folder / "tokenizer_config.json").get("model_max_length"))


def embedding_rows(folder: Path, adapter: Path | None = None) -> int | None:
    """Rows of a model's input embedding: how many ids it can read. None if its config does not say.

    An adapter's own embedding, with added tokens, takes precedence.
    """
    for name, shape in tensor_shapes(adapter / ADAPTER_WEIGHTS).items() if adapter else ():
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
    """A number of tokens as an int; None if it is not a number, or means no limit."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 < value <= _LONGEST_SANE and value == int(value) else None
