"""Facts in an adapter's files, read before any library loads them: how it changes its base, and its token rows.

Nothing here imports torch: planning, estimates and the store use it too.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.errors import ModelUnusable
from .folder_check import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_json
from .resolving import ModelSpec
from .weight_files import tensor_shapes

_TAKEN_FROM_BASE = ("pissa", "olora")
"""Initialisations that peft subtracts from the base's weights on every load, the same each time."""
_NOT_REPEATABLE = ("pissa_niter_", "corda", "loftq", "lora_ga")
"""Initialisations that were random or data-dependent: peft cannot reproduce what it subtracted from the base."""
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings", "lm_head", "embed_out")
"""Names of modules with one row per token in common architectures."""
_OF_ADAPTER = re.compile(r"\.(lora_\w+|token_adapter|trainable_tokens_\w+)(\.|$)")
_PREFIX = "base_model.model."
_WRAPPERS = ("base_layer", "original_module")


def takes_from_base(folder: Path) -> bool:
    """Whether peft subtracts the adapter's initialisation from the base's weights on loading (PiSSA, OLoRA)."""
    return _beginning(folder).startswith(_TAKEN_FROM_BASE)


def is_repeatable(folder: Path) -> bool:
    """Whether the weights that the adapter was trained on can be reproduced from its files and its base."""
    return not _beginning(folder).startswith(_NOT_REPEATABLE)


def awaits_tokens(folder: Path) -> bool:
    """Whether the adapter is active only after certain tokens (aLoRA)."""
    return bool(read_json(folder / ADAPTER_CONFIG).get("alora_invocation_tokens"))


def check_repeatable(spec: ModelSpec) -> None:
    """Raise `ModelUnusable` unless the model has no adapter, or one that `is_repeatable`."""
    if spec.adapter and not is_repeatable(Path(spec.adapter)):
        raise ModelUnusable(
            f"The adapter {spec.label!r} was initialised from its base in a way that its files do not record "
            f"(init_lora_weights {_beginning(Path(spec.adapter))[:40]}), so its weights cannot be restored. "
            "Convert it where it was trained, with peft's "
            "save_pretrained(path_initial_model_for_weight_conversion=...), or merge it there."
        )


def base_change(spec: ModelSpec) -> str | None:
    """Why disabling an adapter does not restore its base, worded to follow its name; None if its config and the shapes
    of its weights give no reason. Raises `ModelUnusable` for damaged files."""
    if spec.adapter is None:
        return None
    if change := weights_change(Path(spec.adapter)):
        return change
    base_rows = _config_rows(Path(spec.path))
    if base_rows and (rows := wanted_rows(Path(spec.adapter), base_rows)) != base_rows:
        return f"has {rows:,} tokens, the base {base_rows:,}"
    return None


def weights_change(folder: Path) -> str | None:
    """How an adapter changes weights of its base according to its config, worded to follow its name, or None."""
    beginning, bias = _beginning(folder), read_json(folder / ADAPTER_CONFIG).get("bias") or "none"
    if beginning.startswith((*_TAKEN_FROM_BASE, *_NOT_REPEATABLE)):
        return f"subtracts its initialisation from the base's weights (init_lora_weights {beginning[:40]})"
    return None if bias == "none" else f"replaces biases of the base (bias {str(bias)[:40]})"


def brought_weights(folder: Path) -> dict[str, str]:
    """Tensors in an adapter's file that overwrite the base's: their names in the file and in the base."""
    saved = read_json(folder / ADAPTER_CONFIG).get("modules_to_save")
    trained = tuple(str(name) for name in saved) if isinstance(saved, list) else ()
    brought = {}
    for name in tensor_shapes(folder / ADAPTER_WEIGHTS):
        *module, tensor = name.removeprefix(_PREFIX).split(".")
        # As peft matches them: "norm" means every module whose name ends like this, and its submodules.
        is_trained = any(".".join(module[: end + 1]).endswith(trained) for end in range(len(module)))
        is_trained = is_trained and "original_module" not in module
        if not _OF_ADAPTER.search(name) and not is_trained:
            brought[name] = ".".join([*(part for part in module if part not in _WRAPPERS), tensor])
    return brought


def lacks_rows(spec: ModelSpec) -> bool:
    """Whether an adapter has tokens without a row in its base or in its own weights."""
    if spec.adapter is None or not (base_rows := _config_rows(Path(spec.path))):
        return False
    has_own = any(_rows(tensor_shapes(Path(spec.adapter, ADAPTER_WEIGHTS))))
    return not has_own and wanted_rows(Path(spec.adapter), base_rows) != base_rows


def wanted_rows(folder: Path, base_rows: int) -> int:
    """How many token rows the model needs for the adapter to fit, given a base with `base_rows`.

    The adapter's own embeddings or head decide. Without them, rows are added for a larger tokenizer in its folder, as
    peft's auto classes do, and for tokens that it trains. Raises `ModelUnusable` if the adapter's own rows differ.
    """
    found = dict(_rows(tensor_shapes(folder / ADAPTER_WEIGHTS)))
    if not found:
        return max(base_rows, tokenizer_size(folder), *(index + 1 for index in trained_tokens(folder)))
    if len(set(found.values())) > 1:
        fewest, most = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
        raise ModelUnusable(
            f"The adapter in {folder} has {found[most]:,} rows in {most} but {found[fewest]:,} in {fewest}; both must "
            "match the number of tokens. Save it again, or merge it into its base."
        )
    return next(iter(found.values()))


def trained_tokens(folder: Path) -> list[int]:
    """Ids of individual tokens that an adapter trains (peft's trainable_token_indices)."""
    told = read_json(folder / ADAPTER_CONFIG).get("trainable_token_indices") or []
    parts = told.values() if isinstance(told, dict) else [told]
    return sorted({index for part in parts if isinstance(part, list) for index in part if isinstance(index, int)})


def tokenizer_size(folder: Path) -> int:
    """How many tokens the tokenizer in a folder has, added ones included; 0 without a tokenizer."""
    tokenizer = read_json(folder / "tokenizer.json")
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    texts = list(vocabulary) if isinstance(vocabulary, dict) else [entry[0] for entry in _lists(vocabulary) if entry]
    added = tokenizer.get("added_tokens")
    texts += [token.get("content") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    return len({text for text in texts if isinstance(text, str)})


def _beginning(folder: Path) -> str:
    return str(read_json(folder / ADAPTER_CONFIG).get("init_lora_weights", "")).lower()


def _rows(shapes: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, int]]:
    """Tensors with one row per token, and their number of rows."""
    for name, shape in shapes.items():
        parts = name.split(".")
        if len(shape) != 2 or not any(part in _EMBEDDINGS for part in parts):
            continue
        if parts[-1] == "lora_embedding_A":
            yield name, shape[1]
        elif parts[-1] == "weight" and "lora_A" not in parts:
            yield name, shape[0]


def _lists(value: Any) -> Iterator[list[Any]]:
    yield from (entry for entry in value if isinstance(entry, list)) if isinstance(value, list) else ()


def _config_rows(folder: Path) -> int | None:
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    rows = config.get("vocab_size") or (text.get("vocab_size") if isinstance(text, dict) else None)
    return rows if isinstance(rows, int) else None
