"""The base model, ready to be fine-tuned: whole, or with an adapter."""

from typing import Any

import torch

from ..models.devices import training_dtype
from ..models.loading import load_model
from ..models.resolving import ModelSpec


def trainable_model(request: dict[str, Any], device: str) -> torch.nn.Module:
    """The base of a training request on a device, with a new adapter if its method is "lora". The seed is the
    caller's."""
    model = load_model(ModelSpec(**request["base"]), training_dtype(request["method"], device), device)
    if request["method"] == "lora":
        model = with_lora(model, request)
    model.train()
    return model


def with_lora(model: torch.nn.Module, request: dict[str, Any]) -> torch.nn.Module:
    """The model with a new adapter of rank `lora_rank` on all its linear layers."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=request["lora_rank"],
        lora_alpha=2 * request["lora_rank"],
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted: torch.nn.Module = get_peft_model(model, config)
    return adapted
