"""Checks a model folder (files, config, tokenizer) before any library reads it.

Model folders are untrusted. No code in them is run, nothing may refer a library to other places, and sizes in the
config must match the weights before anything is allocated.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..data.errors import JsonInvalid, ModelUnusable
from ..system.untrusted_json import read_bounded
from .kinds import refused_folder, refused_kind
from .stored_quantization import check_method, whole_shapes
from .weight_files import tensor_shapes

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
INDEX = "model.safetensors.index.json"
READ_BY_LIBRARIES = (".json", ".safetensors", ".jinja", ".model", ".txt", ".tiktoken")
TEMPLATES = "additional_chat_templates"
_OWN_CODE = "custom_generate/generate.py"
_LARGEST_TEXT = 256 * 2**20  # bytes; the largest tokenizers have 40 MB
_MOST_PARTS = {"tokenizer.json": 4_000_000, "vocab.json": 4_000_000, "provenance.json": 7_000_000}
"""The most parts (`check_parts`) of files that list tokens, or the examples of a training. Gemma's tokenizer has 1.8
million."""
_DEEPEST = 32
_LARGEST_NUMBER = 2**53  # above, JSON readers disagree
_MANY_LAYERS = 1024
_MANY_FEATURES, _MANY_TOKENS = 2**16, 2**18
"""Values up to this are allowed whatever the weights: configs have unused fields with default values."""
_LAYERS = re.compile(r"(^|_)(n_)?(layers?|blocks?)$")
_FEATURES = re.compile(r"(_size|_dim|_rank|heads|experts)$|^(n_embd|n_inner|n_positions|n_ctx|d_model|d_ff|n_head)$")
_TOKENIZER_CLASS = re.compile(r"\w*(Tokenizer|TokenizerFast|TokenizersBackend|PythonBackend|MistralCommonBackend)")
_ADAPTER_EXTRAS = (
    "megatron_config",
    "layer_replication",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "velora_config",
    "monteclora_config",
    "arrow_config",
    "kasa_config",
    "use_bdlora",
)
"""Fields of an adapter's config that import modules, read other files, or multiply layers."""


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model's folder."""
    return sorted(folder.glob("*.safetensors"))


def read_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder that transformers reads: one, or those that its index names."""
    if (single := folder / "model.safetensors").exists():
        return [single]
    parts = read_json(folder / INDEX).get("weight_map")
    return [path for path in weight_files(folder) if not parts or path.name in parts.values()]


def loss_files(folder: Path, is_adapter: bool = False) -> list[Path]:
    """The files in a model's own folder, or an adapter's, that make its losses, in the order of their hash."""
    if is_adapter:
        return [folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS]
    return [folder / "config.json", *weight_files(folder)]


def check_model_folder(name: str, folder: Path) -> None:
    """Raise `ModelUnusable` for a folder that is not a causal language model or is unsafe to load."""
    if sentence := refused_folder(name, folder):
        raise ModelUnusable(sentence)
    config = _checked_config(name, folder)
    if sentence := refused_kind(name, folder, config):
        raise ModelUnusable(sentence)
    _check_contents(name, folder, config)


def check_transformer_folder(name: str, folder: Path) -> dict[str, Any]:
    """The config of a folder with a transformer of any kind. Raises `ModelUnusable` if it has none or is unsafe to
    load."""
    config = _checked_config(name, folder)
    _check_contents(name, folder, config)
    return config


def _checked_config(name: str, folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").exists():
        raise ModelUnusable(
            f"The folder {folder} of model {name!r} has no config.json. Give a Hugging Face model folder."
        )
    check_files(name, folder)
    if (folder / _OWN_CODE).exists():
        raise ModelUnusable(
            f"The model {name!r} contains generation code ({_OWN_CODE}), which is never run. Remove that file."
        )
    config = read_json(folder / "config.json")
    _check_config(name, config)
    return config


def _check_contents(name: str, folder: Path, config: dict[str, Any]) -> None:
    if not weight_files(folder):
        raise ModelUnusable(
            f"The model {name!r} has no *.safetensors in {folder}. Other weight formats are not loaded: "
            "they can run code. Convert them with transformers' save_pretrained."
        )
    _check_tokenizer_config(name, read_json(folder / "tokenizer_config.json"))
    _check_index(name, folder)
    _check_numbers(name, config, read_files(folder))


def check_adapter_folder(name: str, folder: Path) -> dict[str, Any]:
    """The config of a LoRA adapter's folder. Raises `ModelUnusable` if it is not one, or is unsafe to load."""
    check_files(name, folder)
    config = read_json(folder / ADAPTER_CONFIG)
    weights = folder / ADAPTER_WEIGHTS
    if config.get("peft_type") != "LORA":
        raise ModelUnusable(
            f"The adapter {name!r} has type {config.get('peft_type')}; only LORA is supported. Merge it into its base."
        )
    if not weights.exists():
        raise ModelUnusable(f"The adapter {name!r} has no adapter_model.safetensors in {folder}. Fetch it again.")
    if extra := next((key for key in _ADAPTER_EXTRAS if config.get(key)), None):
        raise ModelUnusable(
            f"The config of adapter {name!r} uses {extra}, which is not supported. Merge it into its base."
        )
    rank_pattern = config.get("rank_pattern") or {}
    largest = max((size for shape in tensor_shapes(weights).values() for size in shape), default=0)
    for rank in (config.get("r"), *(rank_pattern.values() if isinstance(rank_pattern, dict) else ())):
        if rank is not None and (not isinstance(rank, int) or rank > largest):
            raise ModelUnusable(
                f"The config of adapter {name!r} has the rank {str(rank)[:40]}, which does not match its weights. "
                "Fetch it again."
            )
    return config


def check_files(name: str, folder: Path, inner: Sequence[str] = ()) -> None:
    """Raise `ModelUnusable` unless every file that a library may read is a regular file in this folder, and takes a
    bounded amount of memory once it is read. `inner`: names of folders in it that are read too.

    Reading a pipe would hang. Links may point into the folder itself or, as in the Hub cache, to `blobs`.
    """
    homes = {folder.resolve()}
    if folder.parent.name == "snapshots":
        homes.add((folder.parent.parent / "blobs").resolve())
    for path in _entries(name, folder, inner):
        try:
            found = path.stat()
            target = path.resolve()
        except (OSError, RuntimeError) as error:
            raise ModelUnusable(_unreadable(path, name, error)) from error
        if stat.S_ISDIR(found.st_mode) and path.suffix != ".safetensors":
            continue
        if not stat.S_ISREG(found.st_mode):
            raise ModelUnusable(f"{path} of model {name!r} is not a regular file. Fetch the model again.")
        if not any(home in target.parents for home in homes):
            raise ModelUnusable(
                f"{path} of model {name!r} links outside its folder, to {target}. Replace it by a copy of the file."
            )
        if path.suffix != ".safetensors" and found.st_size > _LARGEST_TEXT:
            raise ModelUnusable(f"{path} of model {name!r} has {found.st_size:,} bytes. Fetch the model again.")
        if path.suffix == ".json":
            try:
                _bounded(path)
            except JsonInvalid as error:
                raise ModelUnusable(f"{error} Fetch the model {name!r} again.") from error


def _entries(name: str, folder: Path, inner: Sequence[str]) -> Iterator[Path]:
    for place in (folder, folder / TEMPLATES, *(folder / one for one in inner)):
        try:
            names = sorted(os.listdir(place))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ModelUnusable(_unreadable(place, name, error)) from error
        yield from (place / entry for entry in names if entry.endswith(READ_BY_LIBRARIES))


def read_json(path: Path) -> dict[str, Any]:
    """Fields of a JSON file, empty if it does not exist. Raises `ModelUnusable` for anything but an object."""
    try:
        # By the reader that transformers uses: others make other numbers of what is beyond 64 bits.
        fields = json.loads(_bounded(path).decode("utf-8"))
        if not isinstance(fields, dict):
            raise ValueError(f"it is a {type(fields).__name__}")
        return fields
    except FileNotFoundError:
        return {}
    except JsonInvalid as error:
        raise ModelUnusable(f"{error} Fetch the model again.") from error
    except RecursionError as error:
        raise ModelUnusable(f"{path} is not a JSON object (it is nested too deep). Fetch the model again.") from error
    except ValueError as error:
        raise ModelUnusable(f"{path} is not a JSON object ({error}). Fetch the model again.") from error


def _bounded(path: Path) -> bytes:
    """The content of a JSON file, if parsing it takes a bounded amount of memory. Raises `JsonInvalid`."""
    most_parts = _MOST_PARTS.get(path.name)
    return read_bounded(path, most_parts, _LARGEST_TEXT) if most_parts else read_bounded(path)


# What configs say


def _fields(name: str, value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """All leaf values of a config at any depth, each with the nearest key above it."""
    if depth > _DEEPEST:
        raise ModelUnusable(f"The config of model {name!r} is nested deeper than {_DEEPEST} levels. Fetch it again.")
    if isinstance(value, dict):
        for inner_key, inner in value.items():
            # The attention implementation of a part is under the part's name.
            yield from _fields(name, inner, key if key.endswith("_implementation") else inner_key, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields(name, inner, key, depth + 1)
    else:
        yield key, value


def _check_config(name: str, config: dict[str, Any]) -> None:
    for part, kind in (("text_config", dict), ("model_type", str)):
        if config.get(part) is not None and not isinstance(config[part], kind):
            raise ModelUnusable(f"The config of model {name!r} has no usable {part}. Fetch the model again.")
    for key, value in _fields(name, config):
        if key.endswith("_implementation") and "/" in str(value):
            raise ModelUnusable(
                f"The config of model {name!r} refers to code to download ({value}), which is never loaded."
            )
        if key == "transformers_weights" and value is not None:
            raise ModelUnusable(
                f"The config of model {name!r} refers to other weights ({value}), which are not loaded."
            )
        if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
            raise ModelUnusable(
                f"The config of model {name!r} has an invalid {key}: {str(value)[:40]}. Fetch it again."
            )
    check_method(name, config)
    if isinstance(config.get("quantization"), dict):
        raise ModelUnusable(
            f"The model {name!r} is quantized for MLX, which is not supported. Choose its bfloat16 or float32 weights."
        )


def _check_tokenizer_config(name: str, config: dict[str, Any]) -> None:
    kind = config.get("tokenizer_class")
    if kind is not None and not (isinstance(kind, str) and _TOKENIZER_CLASS.fullmatch(kind)):
        raise ModelUnusable(
            f"The tokenizer of model {name!r} has the class {str(kind)[:80]!r}, which is not a tokenizer. "
            "Fetch the model again."
        )
    if config.get("gguf_file"):
        raise ModelUnusable(f"The tokenizer of model {name!r} refers to another file (gguf_file). Convert it first.")


def _check_index(name: str, folder: Path) -> None:
    """The index maps tensors to files. Only files in the same folder are allowed: their hash is part of the cache
    key."""
    parts = read_json(folder / INDEX).get("weight_map")
    if parts is None:
        return
    files = set(parts.values()) if isinstance(parts, dict) and all(isinstance(p, str) for p in parts.values()) else {""}
    if unknown := sorted(files - {path.name for path in weight_files(folder)}):
        raise ModelUnusable(
            f"The index of model {name!r} names {unknown[0][:120]!r}, which is not a *.safetensors file in its folder. "
            "Fetch the model again."
        )


def _check_numbers(name: str, config: dict[str, Any], files: list[Path]) -> None:
    """Compare layer counts and sizes in a config with the weights: libraries allocate them before reading weights."""
    shapes = list(whole_shapes(config, files).values())
    layers = max(_MANY_LAYERS, len(shapes))
    features = max((8 * size for shape in shapes for size in shape), default=0)
    for key, value in _fields(name, config):
        least = _MANY_TOKENS if "vocab" in key else _MANY_FEATURES
        limit = layers if _LAYERS.search(key) else max(least, features) if _FEATURES.search(key) else None
        if limit is not None and isinstance(value, int) and value > limit:
            raise ModelUnusable(
                f"The config of model {name!r} has {key} {value:,}, which does not match its weights. "
                "Fetch the model again."
            )


def _unreadable(path: Path, name: str, error: Exception) -> str:
    reason = _reason(error)
    return f"{path} of model {name!r} cannot be read ({reason}). Check its permissions, or fetch the model again."


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
