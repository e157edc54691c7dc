"""How a training keeps within the machine's memory: the part of a batch that is computed at once, and whether
activations are kept or computed again.

What forward keeps for backward is measured on one row of the model itself, the rest counted. The plan depends on the
machine's whole memory, not on what is free, so that a training that is resumed is computed as it began.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..data import settings
from ..engine.training_engine import TrainingEngine
from ..system.process_facts import machine_memory

log = logging.getLogger("worker")
_LEAST_PART = 128
"""Smaller parts are slower, and the longest row needs its memory anyway [tokens]."""
_ADAM_BYTES = 8
_LIBRARIES_BYTES = int(0.8 * 2**30)
"""What a process has resident with torch and transformers loaded, the tiles of the head included; on a GPU, its
context."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """part_tokens: of a batch, at once. recomputes: activations are computed again in backward. peak_bytes: what the
    training needs in all by this plan; limit_bytes: what it may need."""

    part_tokens: int
    recomputes: bool
    peak_bytes: int
    limit_bytes: int


def plan_memory(
    engine: TrainingEngine, model: Any, lengths: Sequence[int], batch_tokens: int, device: str, processes: int = 1
) -> MemoryPlan:
    """The fastest plan within the share of memory that training may take, for rows of these lengths [tokens]; turns on
    activation checkpointing in the model if the plan has it. `processes` share the memory of a CPU, each with a plan of
    its own; each has its own GPU."""
    limit = int(settings.number("training_memory_share") * _memory(device)) // (processes if device == "cpu" else 1)
    most = min(settings.integer(f"{device}_training_tokens"), batch_tokens)
    plan = _plan(engine, model, lengths, most, limit, recomputes=False)
    if plan.peak_bytes > limit and getattr(model, "supports_gradient_checkpointing", False):
        model.activation_checkpointing_enable()
        plan = _plan(engine, model, lengths, most, limit, recomputes=True)
    log.info(
        "a batch in parts of %s tokens%s: about %.1f of %.1f GB of memory allowed", f"{plan.part_tokens:,}",
        ", activations computed again in backward" if plan.recomputes else "", plan.peak_bytes / 2**30, limit / 2**30,
    )  # fmt: skip
    return plan


def _plan(
    engine: TrainingEngine, model: Any, lengths: Sequence[int], most: int, limit: int, recomputes: bool
) -> MemoryPlan:
    """The largest part that fits; the smallest if none does."""
    longest, tokens = max(lengths), most
    fixed, kept = _fixed_bytes(model), engine.kept_bytes(longest)
    while True:
        peak = int(fixed + kept * max(tokens, longest))
        if peak <= limit or tokens // 2 < _LEAST_PART or tokens <= longest:
            return MemoryPlan(tokens, recomputes, peak, limit)
        tokens //= 2


def _fixed_bytes(model: Any) -> int:
    """Weights, and of those that are trained gradients and AdamW's two moments; a trained embedding or head gets its
    gradient in one piece before that is added."""
    weights = list(model.parameters())
    trained = [weight for weight in weights if weight.requires_grad]
    largest: int = max((weight.numel() * weight.element_size() for weight in trained), default=0)
    stored: int = sum(weight.numel() * weight.element_size() for weight in weights)
    learned: int = sum(weight.numel() * (weight.element_size() + _ADAM_BYTES) for weight in trained)
    return _LIBRARIES_BYTES + stored + learned + largest


def _memory(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[1])
    return machine_memory()
