"""Applies an adapter to its base: resizes the base's token rows to the adapter's, and refuses weights that peft would
leave at their initial values. Imports torch."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..data import settings
from ..data.errors import ModelUnusable
from ..system.time_limit import time_limit
from .adapter_facts import tokenizer_size, wanted_rows
from .folder_check import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_json
from .resolving import ModelSpec
from .unloadable import UNLOADABLE, first_line, refuse_gaps


def with_adapter(model: Any, spec: ModelSpec, folder: Path) -> torch.nn.Module:
    """The base `model` with the adapter in `folder` applied; the base itself may be changed. Raises `ModelUnusable`."""
    _check_patterns(model, spec, read_json(folder / ADAPTER_CONFIG))
    _fit_rows(model, spec, folder)
    from peft import PeftModel, get_peft_model_state_dict

    try:
        adapted: torch.nn.Module = PeftModel.from_pretrained(
            model,
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            torch_device="cpu",  # else peft uses a GPU if there is one, even if none was requested
            autocast_adapter_dtype=False,  # else it converts bfloat16 adapters to float32, which is slow on a GPU
        )
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            stored = set(file.keys())
    except UNLOADABLE as error:
        raise ModelUnusable(
            f"The adapter {spec.label!r} does not fit its base ({first_line(error)}). Name the base that it was "
            "trained on."
        ) from error
    # peft leaves missing weights at their initial values, with a warning at most.
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    refuse_gaps(f"The adapter {spec.label!r}", {"missing_keys": set(expected) - stored})
    return adapted


def _fit_rows(model: Any, spec: ModelSpec, folder: Path) -> None:
    """Resize the base to the number of tokens that the adapter was trained with. New rows are the mean of the old ones,
    as in transformers; the adapter's own rows then replace them."""
    embeddings = model.get_input_embeddings()
    has = int(embeddings.weight.shape[0])
    wanted = wanted_rows(folder, has)
    if wanted == has:
        return
    if wanted < (used := tokenizer_size(Path(spec.path))):
        raise ModelUnusable(
            f"The adapter {spec.label!r} has rows for {wanted:,} tokens, its base for {has:,}, of which the base's "
            f"tokenizer uses {used:,}. Name the base that it was trained on."
        )
    try:
        with torch.random.fork_rng(devices=[]):  # new rows are the mean plus tiny random noise
            torch.manual_seed(0)
            model.resize_token_embeddings(wanted)
    except (*UNLOADABLE, NotImplementedError) as error:
        raise ModelUnusable(
            f"The adapter {spec.label!r} has rows for {wanted:,} tokens, its base for {has:,}, and resizing "
            f"failed ({first_line(error)}). Merge the adapter into its base where it was trained."
        ) from error


def _check_patterns(model: torch.nn.Module, spec: ModelSpec, config: dict[str, Any]) -> None:
    """Raise `ModelUnusable` if an adapter's layer pattern does not terminate: peft matches each with every layer."""
    names = [name for name, _ in model.named_modules()]
    seconds = settings.number("template_seconds")
    too_slow = ModelUnusable(
        f"The adapter {spec.label!r} selects its layers with a pattern that takes longer than {seconds:g} seconds to "
        "match. Merge it into its base."
    )
    try:
        with time_limit(seconds, too_slow):
            for pattern in _patterns(config):
                matcher = re.compile(rf"(^|.*\.)(?:{pattern})($|\..*)")
                for name in names:
                    matcher.fullmatch(name)
    except (re.error, OverflowError, RecursionError) as error:
        raise ModelUnusable(
            f"The adapter {spec.label!r} selects its layers with an invalid pattern ({error}). Merge it into its base."
        ) from error


def _patterns(config: dict[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if key.endswith(("_modules", "_pattern", "_parameters")) or key == "modules_to_save":
            yield from [value] if isinstance(value, str) else (part for part in value or () if isinstance(part, str))
