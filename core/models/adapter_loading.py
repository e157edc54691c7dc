"""Putting an adapter on its base: the base gets as many rows of tokens as the adapter has, and what peft would leave as
it was made is refused. Imports torch."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..data import settings
from ..data.errors import ModelUnusable
from ..system.time_limit import time_limit
from .adapter_facts import ADAPTER_CONFIG, ADAPTER_WEIGHTS, tokenizer_size, wanted_rows
from .folder_check import read_json
from .resolving import ModelSpec
from .unloadable import UNLOADABLE, first_line, refuse_gaps


def with_adapter(model: Any, spec: ModelSpec, folder: Path) -> torch.nn.Module:
    """The base `model` with the adapter of `folder` on it; the base itself may be changed. Raises `ModelUnusable`."""
    _check_patterns(model, spec, read_json(folder / ADAPTER_CONFIG))
    _fit_rows(model, spec, folder)
    from peft import PeftModel, get_peft_model_state_dict

    try:
        adapted: torch.nn.Module = PeftModel.from_pretrained(
            model,
            str(folder),
            use_safetensors=True,
            local_files_only=True,
            torch_device="cpu",  # or peft takes a GPU where there is one, also one that was not asked for
            autocast_adapter_dtype=False,  # or it turns an adapter in bfloat16 to float32, slow on a GPU
        )
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            stored = set(file.keys())
    except UNLOADABLE as error:
        raise ModelUnusable(
            f"The adapter {spec.label!r} does not fit its base ({first_line(error)}). Name the base that it was "
            "trained on."
        ) from error
    # peft leaves what the file lacks as it was made, with a warning at most.
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    refuse_gaps(f"The adapter {spec.label!r}", {"missing_keys": set(expected) - stored})
    return adapted


def _fit_rows(model: Any, spec: ModelSpec, folder: Path) -> None:
    """Give the base as many rows of tokens as the adapter was trained with. New ones are the mean of the old ones, as
    transformers makes them; what the adapter has of its own then comes in their place."""
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
        with torch.random.fork_rng(devices=[]):  # new rows lie around the mean at random, within a hair's breadth
            torch.manual_seed(0)
            model.resize_token_embeddings(wanted)
    except (*UNLOADABLE, NotImplementedError) as error:
        raise ModelUnusable(
            f"The adapter {spec.label!r} has rows for {wanted:,} tokens, its base for {has:,}, and they cannot be made "
            f"as many ({first_line(error)}). Merge the adapter into its base where it was trained."
        ) from error


def _check_patterns(model: torch.nn.Module, spec: ModelSpec, config: dict[str, Any]) -> None:
    """Raise `ModelUnusable` if a pattern by which an adapter names layers does not end: peft matches each with all."""
    names = [name for name, _ in model.named_modules()]
    seconds = settings.number("template_seconds")
    too_slow = ModelUnusable(
        f"The adapter {spec.label!r} names its layers by a pattern that takes longer than {seconds:g} seconds to "
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
            f"The adapter {spec.label!r} names its layers by a broken pattern ({error}). Merge it into its base."
        ) from error


def _patterns(config: dict[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if key.endswith(("_modules", "_pattern", "_parameters")) or key == "modules_to_save":
            yield from [value] if isinstance(value, str) else (part for part in value or () if isinstance(part, str))
