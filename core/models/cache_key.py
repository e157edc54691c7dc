"""The key of a cached loss: everything that a loss depends on. Pure; callers read the files.

A loss is looked up by its example (whose id covers the conversation, tools and turn weights), `model_key` and
`encoding_key`. The key contains the data of each part. A part whose rule can change has a version number here: raise it
when the same data would give another loss, and add a line on what the new version means. Never lower one.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

ENGINE_RULE = 1
# How a loaded model computes losses. Raise it also when a new torch or transformers gives other losses.
# 1: head and log-softmax in float32, sums in float64.

WEIGHTS_RULE = 1
# How files become a model in a dtype.
# 1: config.json and all *.safetensors, as transformers loads them; weights that are stored quantized are de-quantized
# by their method's library or formula, and rounded to the dtype.

QUANTIZATION_RULE = {"nf4": 1, "int8": 1}
# How weights are quantized as they are loaded, by kind.
# nf4 1: bitsandbytes, blocks of 64, scales not quantized again, products in the compute dtype; the head stays as it is.
# int8 1: bitsandbytes, a scale a row, products in the compute dtype; the head stays as it is.

POSITIONS_RULE = 2
# Position ids for families that count from the padding id on, such as RoBERTa.
# 1: they started at 0, which was wrong (up to 0.5.0). 2: the model's own.

ADAPTER_RULE = 1
# How an adapter is applied. The key of a base has no adapter: its loss is computed with a disabled adapter only if that
# gives the base's own losses (`base_probe`).
# 1: adapter_config.json and adapter_model.safetensors, as peft loads them.

TOKENIZER_RULE = 1
# Which files make up the tokenizer, and how it is applied to text.
# 1: TOKENIZER_FILES; exactly one BOS where the tokenizer uses one.

TEMPLATE_RULE = 1
# How a template renders a conversation. Its inputs are the example's messages and tools, and the date; no options yet.
# 1: as transformers renders it.

MASK_RULE = {"chat": 2, "chatml": 2, "alpaca": 1, "plain": 1}
# Which tokens are scored, by template. Which replies are scored is data (`replies`).
# chat, chatml 1: found by comparing renderings (up to 0.5.0). 2: found by marks in the template.
# alpaca, plain 1: the replies' own text and their end of turn.

LENGTH_RULE = 1
# What happens to an example with more than max_length tokens.
# 1: its end is cut off.

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
_ADDED_LATER = {"chat_template": None, "day": None, "replies": "all", "prompt": "given"}
"""Parts of an encoding that are omitted while they have this value, so that older keys stay valid."""

FileHashes = Iterable[tuple[str, bytes]]
"""Names of files and digests of their contents, in a fixed order."""


def hash_files(files: FileHashes) -> str:
    """Hex digest of files by name and content; for TOKENIZER_FILES it is the tokenizer's part of `encoding_key`."""
    return _digest(b"".join(name.encode() + b"\0" + content for name, content in files))


def hash_weights(files: FileHashes, has_offset_positions: bool) -> str:
    """Hex digest of a model's config and weights; `has_offset_positions`: POSITIONS_RULE applies to its family."""
    found = hash_files(files)
    if not has_offset_positions or POSITIONS_RULE == 1:
        return found
    version = "" if POSITIONS_RULE == 2 else f"{POSITIONS_RULE} "
    return _digest(f"positions of its own {version}{found}".encode())


def hash_adapted_weights(base_weights_hash: str, adapter_files: FileHashes) -> str:
    """Hex digest of a base's weights with an adapter applied."""
    return _digest((base_weights_hash + hash_files(adapter_files)).encode())


def model_key(weights: str, dtype: str, has_adapter: bool, quantization: str | None = None) -> str:
    """Hex digest of a model: its weights (adapter included), its compute dtype, how it is quantized at load, and the
    rules for these."""
    rules = [ENGINE_RULE, WEIGHTS_RULE, *([ADAPTER_RULE] if has_adapter else [])]
    fields = {"weights": weights, "dtype": dtype, "engine": _version(*rules)}
    if quantization is not None:
        fields["quantization"] = f"{quantization} {QUANTIZATION_RULE[quantization]}"
    return _fields_digest(fields)


def encoding_version(template: str) -> int:
    """One number for the rules that turn a template's examples into scored tokens."""
    return _version(MASK_RULE[template], TEMPLATE_RULE, TOKENIZER_RULE, LENGTH_RULE)


def encoding_key(
    *,
    template: str,
    chat_template: str | None,
    day: str | None,
    replies: str,
    prompt: str,
    tokenizer_fingerprint: str,
    max_length: int,
    version: int,
) -> str:
    """Hex digest of an encoding; the parts are those of `EncodingSpec`."""
    parts = {
        "template": template,
        "chat_template": chat_template,
        "day": day,
        "replies": replies,
        "prompt": prompt,
        "tokenizer_fingerprint": tokenizer_fingerprint,
        "max_length": max_length,
        "version": version,
    }
    return _fields_digest(without_defaults(parts))


def without_defaults(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts of an encoding without those added later that have their default."""
    return {name: value for name, value in parts.items() if name not in _ADDED_LATER or value != _ADDED_LATER[name]}


def _version(*rules: int) -> int:
    """One number that rises with each rule, and is 1 while all of them are, as in the keys of earlier releases."""
    return 1 + sum(rule - 1 for rule in rules)


def _fields_digest(fields: dict[str, Any]) -> str:
    return _digest(json.dumps(fields, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
