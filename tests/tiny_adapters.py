"""Adapters of every kind that is loaded, made by peft on a tiny base and saved as their makers would save them; with
each the trained model, for what it should give."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from core.encoding.encode import Encoded

_LAYERS: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"]}


@dataclass(frozen=True, slots=True)
class Kind:
    """Options of peft's LoraConfig; how many tokens the base had rows for when it was trained, where that is not its
    own number; and whether its base is what is left when it is switched off."""

    options: dict[str, Any] = field(default_factory=dict)
    rows: int | None = None
    keeps_base: bool = True


KINDS = {
    "LoRA": Kind(),
    "DoRA": Kind({"use_dora": True}),
    "rsLoRA": Kind({"use_rslora": True}),
    "LoRA with biases of its own": Kind({"lora_bias": True}),
    "LoRA on every linear layer": Kind({"target_modules": "all-linear"}),
    "LoRA on the head": Kind({"target_modules": ["q_proj", "lm_head"]}),
    "LoRA on the embeddings": Kind({"target_modules": ["q_proj", "embed_tokens"]}),
    "LoRA on parameters": Kind({"target_modules": [], "target_parameters": ["q_proj.weight", "down_proj.weight"]}),
    "PiSSA": Kind({"init_lora_weights": "pissa"}, keeps_base=False),
    "OLoRA": Kind({"init_lora_weights": "olora"}, keeps_base=False),
    "LoRA that begins at a token": Kind({"alora_invocation_tokens": [3]}),
    "orthogonal": Kind({"init_lora_weights": "orthogonal"}),
    "all biases": Kind({"bias": "all"}, keeps_base=False),
    "biases of its layers": Kind({"bias": "lora_only"}, keeps_base=False),
    "a trained head": Kind({"modules_to_save": ["lm_head"]}),
    "trained embeddings": Kind({"modules_to_save": ["embed_tokens"]}),
    "trained embeddings and head": Kind({"modules_to_save": ["embed_tokens", "lm_head"]}),
    "trained norms": Kind({"modules_to_save": ["input_layernorm", "norm"]}),
    "trained tokens": Kind({"trainable_token_indices": [3, 4, 70, 101, 260]}),
    "trained tokens of the head too": Kind({"trainable_token_indices": {"embed_tokens": [4, 70], "lm_head": [101]}}),
    "added tokens": Kind({"modules_to_save": ["embed_tokens", "lm_head"]}, rows=408, keeps_base=False),
    "added tokens, LoRA on the head": Kind({"target_modules": ["q_proj", "lm_head"]}, rows=408, keeps_base=False),
    "added tokens that are trained": Kind({"trainable_token_indices": [400, 401, 402]}, rows=403, keeps_base=False),
}


def make_adapter(folder: Path, base_folder: Path, kind: Kind, seed: int = 3) -> torch.nn.Module:
    """Save an adapter of that kind, every trained number of it moved at random; returns the trained model in float64,
    merged where peft can."""
    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    if kind.rows:
        base.resize_token_embeddings(kind.rows)
    options = {"r": 2, "lora_alpha": 8, "task_type": "CAUSAL_LM", **_LAYERS, **kind.options}
    adapted = get_peft_model(base, LoraConfig(**options))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    adapted.eval().save_pretrained(folder)
    exact: Any = copy.deepcopy(adapted).double()
    # A layer without a bias has no place for one, and embeddings that are the head too would be merged into twice.
    # Nor can one be merged that is on for a part of each row.
    can_merge = not kind.options.keys() & {"lora_bias", "alora_invocation_tokens"}
    can_merge = can_merge and not (base.config.tie_word_embeddings and _reaches_tokens(kind))
    merged: torch.nn.Module = exact.merge_and_unload() if can_merge else exact
    return merged


def _reaches_tokens(kind: Kind) -> bool:
    return any(name in str(kind.options) for name in ("embed_tokens", "lm_head", "trainable_token_indices"))


def give_biases(base_folder: Path) -> Path:
    """Make the biases of a saved model anything but zero."""
    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3)
    model.save_pretrained(base_folder)
    return base_folder


def exact_model(folder: Path) -> torch.nn.Module:
    """A saved model in float64, loaded by transformers alone."""
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    return model.eval()


@torch.inference_mode()
def exact_losses(model: Callable[..., Any], rows: Sequence[Encoded]) -> NDArray[np.float64]:
    """Mean loss of each row's scored tokens [nats], NaN where there are none: a row at a time, from all logits."""
    losses = []
    for row in rows:
        ids = torch.from_numpy(np.asarray(row.input_ids, np.int64))[None]
        predicted = torch.log_softmax(model(input_ids=ids).logits[0, :-1].double(), -1)
        of_tokens = -predicted.gather(-1, ids[0, 1:, None])[:, 0].numpy()
        losses.append(of_tokens[row.scored[1:]].mean() if row.reason is None else np.nan)
    return np.array(losses)
