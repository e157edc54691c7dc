"""Keeps what was measured about the engine, by processor, threads, versions and shapes: in the workspace if the process
is a worker's, else in the process.

Every choice has the same losses within the engine's bound, so it is no part of the cache key.
"""

import json
import platform
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ..data.errors import JsonInvalid, UserError
from ..data.json_types import checked
from ..models.known_hashes import workers_workspace
from ..system.atomic_files import write_durably
from ..system.untrusted_json import read_json_object
from .engine_choice import EngineChoice
from .measured_choice import RULE, float32_weights, measured_choice

FILE = "engine-choices.json"

_in_this_process: dict[str, EngineChoice] = {}


def choice_for(causal: Any) -> EngineChoice:
    """The fastest choice for a causal language model: measured, or kept from an earlier measurement.

    On a GPU, or in another precision than float32, nothing is left to choose.
    """
    parameter = next(causal.parameters())
    if parameter.device.type != "cpu" or float32_weights(causal) is None:
        return EngineChoice()
    key = _key(causal)
    workspace = workers_workspace()
    found = _in_this_process.get(key) or (_kept(workspace, key) if workspace else None)
    if found is None:
        found = measured_choice(causal)
        if workspace:
            _keep(workspace, key, found)
    _in_this_process[key] = found
    return found


def _key(causal: Any) -> str:
    """What a measurement holds for."""
    config = causal.config.get_text_config()
    shapes = [[*weight.shape, count] for weight, count in float32_weights(causal) or ()]
    heads = [getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads", "head_dim")]
    return json.dumps([RULE, processor(), torch.get_num_threads(), torch.__version__, shapes, heads], default=str)


@cache
def processor() -> str:
    """The processor's name, with family and model where the system tells: virtual machines hide parts of the name."""
    wanted = ("model name", "cpu family", "model", "stepping")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return " ".join(facts[name] for name in wanted if name in facts) or platform.machine()


def _kept(workspace: Path, key: str) -> EngineChoice | None:
    """The choice kept in a workspace; None if there is none, or the file is invalid."""
    try:
        fields = read_json_object(workspace / FILE).get(key)
        found = checked(fields, EngineChoice, FILE) if isinstance(fields, dict) else None
    except (FileNotFoundError, JsonInvalid):
        return None
    return found if found and found.is_known else None


def _keep(workspace: Path, key: str, choice: EngineChoice) -> None:
    """Add a choice. A failed or concurrent write only costs measuring again."""
    try:
        kept = read_json_object(workspace / FILE)
    except (FileNotFoundError, JsonInvalid):
        kept = {}
    try:
        write_durably(workspace / FILE, [json.dumps(kept | {key: asdict(choice)}, indent=0).encode("ascii")])
    except (OSError, UserError):
        return
