"""Loads a resolved model for scoring or training, and refuses incomplete weights.

Like `core.engine` and `core.training`, it imports torch; only workers need it.
"""

import math
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ..data.errors import ModelChanged, ModelTooLarge, ModelUnusable
from ..system.memory_limit import memory_limit
from ..system.process_facts import peak_resident_bytes
from .adapter_facts import check_repeatable, takes_from_base, trained_tokens
from .adapter_loading import with_adapter
from .base_probe import BaseProbe
from .dequantizing import dequantized_weights
from .folder_check import read_files, read_json, weight_files
from .kinds import IMAGE_TEXT_MODELS
from .layer_places import Placement
from .quantized_loading import quantized_as, with_exact_products
from .reading_direction import reads_to_the_right
from .resolving import ModelSpec
from .spreading import Spread, settle, take_over
from .stored_quantization import quantization_of, whole_shapes
from .unchanged_files import unchanged, unchanged_tokenizer
from .unloadable import UNLOADABLE, cannot_be_loaded, first_line, is_of_library, refuse_gaps

transformers_logging.disable_progress_bar()
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_ROOM_BYTES = 4 * 2**30
_HALF = 2  # bytes of a number in half precision


def load_tokenizer(spec: ModelSpec, fingerprint: str | None = None) -> Any:
    """The model's fast tokenizer (its offsets are needed for the mask). Raises `ModelUnusable`, or `ModelChanged` if
    it is not the one of the `fingerprint` that is given."""
    try:
        with unchanged_tokenizer(spec, fingerprint):
            tokenizer = AutoTokenizer.from_pretrained(
                spec.path, use_fast=True, trust_remote_code=False, local_files_only=True
            )
    except ModelChanged:
        raise
    except BaseException as error:
        if not is_of_library(error):
            raise
        raise ModelUnusable(
            f"The tokenizer of {spec.label!r} cannot be loaded ({first_line(error)}). Fetch the model again, or "
            "choose another."
        ) from error
    if not tokenizer.is_fast:
        raise ModelUnusable(f"The tokenizer of {spec.label!r} has no fast version (tokenizer.json). Convert it first.")
    return tokenizer


def load_model(spec: ModelSpec, dtype: str, device: str, spread: Spread | None = None) -> torch.nn.Module:
    """The model in evaluation mode, adapter applied, on the device, or spread. Nothing is downloaded, no code of the
    model is run.

    Raises `ModelUnusable` if weights are missing, have another shape, or are not finite: transformers would fill such
    gaps with random numbers and continue; `ModelChanged` if they are not those that the spec was made of.
    """
    with unchanged(spec):
        return _loaded(spec, dtype, device, spread)


def _loaded(spec: ModelSpec, dtype: str, device: str, spread: Spread | None) -> torch.nn.Module:
    if not spec.adapter:
        base, placement = _base(spec, dtype, device, spread)
        return _reading_left(on_device(base, spec, device, placement), spec)
    check_repeatable(spec)
    if not takes_from_base(Path(spec.adapter)):
        base, placement = _base(spec, dtype, device, spread)
        return _reading_left(on_device(_adapted(base, spec), spec, device, placement), spec)
    if spread:
        raise ModelUnusable(
            f"The adapter {spec.label!r} takes a part out of its base's weights, which are then in main memory whole, "
            "so they cannot be spread. Leave out --placement, or merge the adapter where it was trained."
        )
    if spec.quantization:
        raise ModelUnusable(
            f"The adapter {spec.label!r} takes a part out of its base's weights, which cannot be done to quantized "
            "ones. Leave out --quantization."
        )
    # What such an adapter subtracts depends on the base's precision: from a bfloat16 base it would differ.
    base, _ = _base(spec, "float32", device)
    return _reading_left(on_device(_rounded(_adapted(base, spec), dtype), spec, device), spec)


def load_with_base(
    spec: ModelSpec, dtype: str, device: str, spread: Spread | None = None
) -> tuple[torch.nn.Module, bool]:
    """Like `load_model`, for a model with an adapter; also returns whether disabling the adapter restores the base.

    The base is probed before the adapter is applied.
    """
    assert spec.adapter is not None
    check_repeatable(spec)
    with unchanged(spec):
        base, placement = _base(spec, dtype, device, spread)
        base = _reading_left(on_device(base, spec, device, placement), spec)
        probe = BaseProbe.of(base, trained_tokens(Path(spec.adapter)))
        model = on_device(_adapted(base, spec), spec, device, placement)
        return model, probe.agrees(model)


def _base(spec: ModelSpec, dtype: str, device: str, spread: Spread | None = None) -> tuple[Any, Placement | None]:
    """The model without its adapter, as transformers loads it: in main memory, on the device if it is quantized, or, if
    it is spread, by its placement."""
    placement = None
    with spread.emptied_folder() if spread else nullcontext():
        try:
            with memory_limit(memory_for(spec)):
                if spread:
                    placement = _planned(spec, DTYPES[dtype], device, spread)
                model, report = _read(spec, DTYPES[dtype], device, placement, spread)
        except torch.cuda.OutOfMemoryError as error:
            raise _does_not_fit(spec, device) from error
        except UNLOADABLE as error:
            raise cannot_be_loaded(spec.label, error) from error
        refuse_gaps(f"The model {spec.label!r}", report)
        if spread and placement:
            take_over(placement, model, spec.label, spread.folder)
    return with_exact_products(model) if spec.quantization else model, placement


def _planned(spec: ModelSpec, dtype: torch.dtype, device: str, spread: Spread) -> Placement:
    """Where the model's layers go. Raises `ModelUnusable` if it cannot be spread."""
    if _is_quantized(spec):
        raise ModelUnusable(
            f"The weights of {spec.label!r} are quantized, so its layers cannot be spread. Choose whole weights, or "
            "leave out --placement."
        )
    empty = _empty(spec, AutoConfig.from_pretrained(spec.path, trust_remote_code=False, local_files_only=True), dtype)
    placement = Placement.of(empty, spec.label, device, spread.room)
    placement.check_disk(empty, spec.label, weight_files(Path(spec.path)), spread.folder)
    spread.report(placement.sentence)
    return placement


def can_be_spread(spec: ModelSpec) -> bool:
    """Whether its weights are whole, and no part of them is taken out by an adapter."""
    return not _is_quantized(spec) and not (spec.adapter and takes_from_base(Path(spec.adapter)))


def _is_quantized(spec: ModelSpec) -> bool:
    return bool(spec.quantization or quantization_of(read_json(Path(spec.path, "config.json"))))


def _empty(spec: ModelSpec, config: Any, dtype: torch.dtype) -> Any:
    """The model without weights."""
    with torch.device("meta"):
        return _auto_class(spec).from_config(config, dtype=dtype, trust_remote_code=False)


def _read(
    spec: ModelSpec, dtype: torch.dtype, device: str, placement: Placement | None, spread: Spread | None
) -> tuple[Any, dict[str, Any]]:
    """The model and transformers' report on its weights."""
    common = {
        "dtype": dtype,
        "local_files_only": True,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # so that they are reported, and refused by name
    }
    if not quantization_of(read_json(Path(spec.path, "config.json"))):
        at_load = quantized_as(spec.quantization, dtype, device) if spec.quantization else {}
        if placement and spread:
            at_load = {"device_map": placement.device_map, "offload_folder": str(spread.folder)}
        found: tuple[Any, dict[str, Any]] = _auto_class(spec).from_pretrained(
            spec.path, use_safetensors=True, trust_remote_code=False, **at_load, **common
        )
        return found
    config = AutoConfig.from_pretrained(spec.path, trust_remote_code=False, local_files_only=True)
    for part in (config, config.get_text_config()):
        vars(part).pop("quantization_config", None)
    # Auto classes take no weights without a path, but know the class that does.
    empty = _empty(spec, config, dtype)
    weights = dequantized_weights(read_json(Path(spec.path, "config.json")), read_files(Path(spec.path)), dtype)
    model, report = type(empty).from_pretrained(None, config=empty.config, state_dict=weights, **common)
    model.name_or_path = spec.path
    return model, report


def _auto_class(spec: ModelSpec) -> Any:
    """The auto class for the model: vision-language models also read text only."""
    kind = read_json(Path(spec.path, "config.json")).get("model_type")
    return AutoModelForImageTextToText if kind in IMAGE_TEXT_MODELS else AutoModelForCausalLM


def _reading_left(module: torch.nn.Module, spec: ModelSpec) -> torch.nn.Module:
    """The model, if it is causal and needs only token ids. Raises `ModelUnusable` otherwise."""
    try:
        to_the_right = reads_to_the_right(module)
    except torch.cuda.OutOfMemoryError as error:
        raise ModelUnusable(
            f"The model {spec.label!r} leaves no memory on its device for a few tokens. Free memory first."
        ) from error
    except (*UNLOADABLE, IndexError, AssertionError) as error:
        raise ModelUnusable(
            f"The model {spec.label!r} needs more input than token ids ({first_line(error)}). Choose a causal language "
            "model."
        ) from error
    if to_the_right:
        raise ModelUnusable(
            f"The model {spec.label!r} is not causal: its earlier predictions change with a later "
            "token, so its losses are meaningless. Choose a causal language model."
        )
    return module


def _adapted(model: Any, spec: ModelSpec) -> torch.nn.Module:
    assert spec.adapter is not None
    with memory_limit(memory_for(spec)):
        return with_adapter(model, spec, Path(spec.adapter))


def _rounded(model: Any, dtype: str) -> Any:
    """The model with its weights in `dtype`, as transformers would load it. Buffers keep their type, since rotary
    frequencies need more than bfloat16; so do weights that the architecture keeps in float32."""
    kept = tuple(getattr(model.get_base_model(), "_keep_in_fp32_modules_strict", None) or ())
    for name, parameter in model.named_parameters():
        if not any(part in name for part in kept):
            parameter.data = parameter.data.to(DTYPES[dtype])
    return model


def on_device(
    module: torch.nn.Module, spec: ModelSpec, device: str, placement: Placement | None = None
) -> torch.nn.Module:
    """Move to the device, or to its placement, in evaluation mode and check the weights there: a GPU reads them
    fastest, and those on disk are read once. Raises `ModelUnusable`."""
    try:
        if placement:
            settle(placement, module)
        elif not spec.quantization:  # quantized weights are loaded where they stay
            module.to(device)
        module.eval()
        unsound = next((name for name, parameter in module.named_parameters() if not _is_finite(parameter)), None)
    except torch.cuda.OutOfMemoryError as error:
        raise _does_not_fit(spec, device) from error
    except torch.AcceleratorError as error:
        raise ModelUnusable(
            f"The model {spec.label!r} cannot run on {device} ({first_line(error)}). Choose device cpu, or install "
            "a torch build for this GPU."
        ) from error
    if unsound is not None:
        raise ModelUnusable(
            f"The weights {unsound} of model {spec.label!r} have NaN or infinity. Fetch it again, or choose another."
        )
    return module


def _does_not_fit(spec: ModelSpec, device: str) -> ModelTooLarge:
    return ModelTooLarge(f"The model {spec.label!r} does not fit into the memory of {device}. Free memory first.")


def peak_memory(device: str) -> int:
    """The most memory that this process has needed so far [bytes]: of the GPU, or of the machine for a CPU."""
    if device == "cuda":
        return int(torch.cuda.max_memory_reserved())
    return peak_resident_bytes()


def _is_finite(weights: torch.Tensor) -> bool:
    # NaN shows in min and max; testing every weight would take extra memory, which a GPU may not have.
    return not weights.numel() or all(bool(torch.isfinite(end)) for end in torch.aminmax(weights.detach()))


def memory_for(spec: ModelSpec, files: Iterable[Path] | None = None) -> int:
    """What loading may allocate [bytes]: the weights in a type two or four times as large, and working memory. `files`:
    those with weights, by default of the model's folder and its adapter's."""
    if files is None:
        files = [*weight_files(Path(spec.path)), *(weight_files(Path(spec.adapter)) if spec.adapter else ())]
    stored_bytes: int = sum(path.stat().st_size for path in files)
    config = read_json(Path(spec.path, "config.json"))
    if quantization_of(config):
        shapes = whole_shapes(config, read_files(Path(spec.path)))
        stored_bytes += _HALF * sum(math.prod(shape) for shape in shapes.values())
    return 4 * stored_bytes + _ROOM_BYTES
