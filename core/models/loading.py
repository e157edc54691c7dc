"""Loading a resolved model for scoring or training, refusing weights that are not all there.

With `core.engine` and `core.training`, one of the few modules that import torch; only the worker needs them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.utils import logging as transformers_logging

from core import settings
from core.errors import ModelUnusable
from core.memory_limit import memory_limit
from core.models.folder_check import read_json, weight_files
from core.models.kinds import IMAGE_TEXT_MODELS
from core.models.reading_direction import reads_to_the_right
from core.models.resolving import ModelSpec
from core.time_limit import time_limit

transformers_logging.disable_progress_bar()
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_ROOM_BYTES = 4 * 2**30
_UNLOADABLE = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    MemoryError,
    TypeError,
    AttributeError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
)
"""What transformers and peft raise on files that are damaged, or of a kind that they do not know."""


def load_tokenizer(spec: ModelSpec) -> Any:
    """The model's fast tokenizer (offsets are needed to tell prompt from response). Raises `ModelUnusable`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            spec.path, use_fast=True, trust_remote_code=False, local_files_only=True
        )
    # tokenizers raises bare `Exception` on a damaged file, and a panic of its Rust code is no `Exception` at all.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelUnusable(
            f"The tokenizer of {spec.label!r} cannot be loaded ({_first_line(error)}). Fetch the model again, or "
            "choose another."
        ) from error
    if not tokenizer.is_fast:
        raise ModelUnusable(f"The tokenizer of {spec.label!r} has no fast form (tokenizer.json). Convert it first.")
    return tokenizer


def load_model(spec: ModelSpec, dtype: str, device: str) -> torch.nn.Module:
    """The model in evaluation mode, adapter applied, on the device. Nothing is fetched, no code of the model is run.

    Raises `ModelUnusable` if weights are missing, of another shape, or not finite: transformers would fill
    such gaps with random numbers and go on.
    """
    try:
        with memory_limit(_memory_for(spec)):
            model, report = _auto_class(spec).from_pretrained(
                spec.path,
                dtype=DTYPES[dtype],
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are reported, and refused here by name
            )
    except _UNLOADABLE as error:
        if "trust_remote_code" in str(error):
            raise ModelUnusable(
                f"The model {spec.label!r} cannot be loaded: it needs code of its own, which is never run. "
                "Choose a model that transformers knows."
            ) from error
        raise ModelUnusable(
            f"The model {spec.label!r} cannot be loaded ({_first_line(error)}). Fetch it again, or choose another."
        ) from error
    _refuse_gaps(f"The model {spec.label!r}", report)
    module: torch.nn.Module = _with_adapter(model, spec, spec.adapter) if spec.adapter else model
    return _reading_left(_on_device(module, spec, device), spec)


def _auto_class(spec: ModelSpec) -> Any:
    """What transformers loads the model by: a vision-language model reads text alone too."""
    kind = read_json(Path(spec.path, "config.json")).get("model_type")
    return AutoModelForImageTextToText if kind in IMAGE_TEXT_MODELS else AutoModelForCausalLM


def _reading_left(module: torch.nn.Module, spec: ModelSpec) -> torch.nn.Module:
    """The model, unless its predictions hang on later tokens, or it takes more than token ids."""
    try:
        to_the_right = reads_to_the_right(module)
    except torch.cuda.OutOfMemoryError as error:
        raise ModelUnusable(
            f"The model {spec.label!r} leaves its device no memory for a few tokens. Free it first."
        ) from error
    except (*_UNLOADABLE, IndexError, AssertionError) as error:
        raise ModelUnusable(
            f"The model {spec.label!r} does not run on tokens alone ({_first_line(error)}). Choose a causal language "
            "model."
        ) from error
    if to_the_right:
        raise ModelUnusable(
            f"The model {spec.label!r} reads tokens to the right too: its earlier predictions change with a later "
            "token, so its losses mean nothing. Choose a causal language model."
        )
    return module


def _on_device(module: torch.nn.Module, spec: ModelSpec, device: str) -> torch.nn.Module:
    """In evaluation mode, and looked at there: a GPU reads all weights in no time."""
    try:
        module.to(device).eval()
        unsound = next((name for name, parameter in module.named_parameters() if not _is_finite(parameter)), None)
    except torch.cuda.OutOfMemoryError as error:
        raise ModelUnusable(
            f"The model {spec.label!r} does not fit into the memory of {device}. Free it first."
        ) from error
    except torch.AcceleratorError as error:
        raise ModelUnusable(
            f"The model {spec.label!r} cannot run on {device} ({_first_line(error)}). Choose device cpu, or install "
            "a build of torch for this GPU."
        ) from error
    if unsound is not None:
        raise ModelUnusable(
            f"The weights {unsound} of model {spec.label!r} hold NaN or infinity. Fetch it again, or choose another."
        )
    return module


def _is_finite(weights: torch.Tensor) -> bool:
    # NaN shows in both ends; asking every weight would take memory of its own, on a GPU perhaps the last there is.
    return not weights.numel() or all(bool(torch.isfinite(end)) for end in torch.aminmax(weights.detach()))


def _refuse_gaps(whose: str, report: dict[str, Any]) -> None:
    if missing := sorted(report.get("missing_keys", ())):
        raise ModelUnusable(f"{whose} lacks {len(missing)} of its weights, such as {missing[0]}. Fetch it again.")
    if mismatched := sorted(report.get("mismatched_keys", ())):
        name, found, expected = mismatched[0]
        raise ModelUnusable(
            f"{whose} has weights of another shape than its config says: {name} is {tuple(found)}, not "
            f"{tuple(expected)}. Fetch it again."
        )


def _with_adapter(model: torch.nn.Module, spec: ModelSpec, folder: str) -> torch.nn.Module:
    from peft import PeftModel, get_peft_model_state_dict

    _check_patterns(model, spec, read_json(Path(folder, "adapter_config.json")))
    try:
        with memory_limit(_memory_for(spec)):
            adapted: torch.nn.Module = PeftModel.from_pretrained(
                model,
                folder,
                use_safetensors=True,
                local_files_only=True,
                torch_device="cpu",  # or peft takes a GPU where there is one, also one that was not asked for
                autocast_adapter_dtype=False,  # or it turns an adapter in bfloat16 to float32, slow on a GPU
            )
        with safe_open(Path(folder, "adapter_model.safetensors"), framework="pt") as file:
            stored = set(file.keys())
    except _UNLOADABLE as error:
        raise ModelUnusable(
            f"The adapter {spec.label!r} does not fit its base ({_first_line(error)}). Name the base that it was "
            "trained on."
        ) from error
    # peft leaves what the file lacks as it was made, with a warning at most.
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    _refuse_gaps(f"The adapter {spec.label!r}", {"missing_keys": set(expected) - stored})
    return adapted


def _memory_for(spec: ModelSpec) -> int:
    """What loading may allocate [bytes]: the weights in a type of twice or four times the size, and room to work in."""
    files = [*weight_files(Path(spec.path)), *(weight_files(Path(spec.adapter)) if spec.adapter else ())]
    stored_bytes: int = sum(path.stat().st_size for path in files)
    return 4 * stored_bytes + _ROOM_BYTES


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


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:300]
