"""Loading a resolved model for scoring or training, refusing weights that are not all there.

With `core.response_loss` and `core.training`, one of the few modules that import torch; only the worker needs them.
"""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from core.errors import ModelUnusable
from core.models import ModelSpec

transformers_logging.disable_progress_bar()
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_tokenizer(spec: ModelSpec) -> Any:
    """The model's fast tokenizer (offsets are needed to tell prompt from response). Raises `ModelUnusable`."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(spec.path, use_fast=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnusable(f"The tokenizer of {spec.label!r} cannot be loaded: {_first_line(error)}") from error
    if not tokenizer.is_fast:
        raise ModelUnusable(f"The tokenizer of {spec.label!r} has no fast form (tokenizer.json). Convert it first.")
    return tokenizer


def load_model(spec: ModelSpec, dtype: str, device: str) -> torch.nn.Module:
    """The model in evaluation mode, adapter applied, on the device.

    Raises `ModelUnusable` if weights are missing, of another shape, or not finite: transformers would fill
    such gaps with random numbers and go on.
    """
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            spec.path, dtype=DTYPES[dtype], use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnusable(f"The model {spec.label!r} cannot be loaded: {_first_line(error)}") from error
    gaps = [*report.get("missing_keys", ()), *report.get("mismatched_keys", ())]
    if gaps:
        raise ModelUnusable(f"The model {spec.label!r} lacks {len(gaps)} of its weights, such as {gaps[0]}.")
    if spec.adapter:
        model = _with_adapter(model, spec)
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelUnusable(f"The weights {name} of model {spec.label!r} hold NaN or infinity.")
    model.to(device)
    model.eval()
    return model


def _with_adapter(model: torch.nn.Module, spec: ModelSpec) -> torch.nn.Module:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, spec.adapter, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnusable(f"The adapter {spec.label!r} does not fit its base: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
