"""Keeps a checkpoint at the end of each epoch of a LoRA training; `kept_checkpoints` says what is in it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import TrainerCallback

from ..system.atomic_files import replaced_durably
from .checkpoints import CHECKPOINTS
from .kept_checkpoints import FIRST_MOMENT, KEPT, SECOND_MOMENT, WEIGHT, KeptCheckpoint


class CheckpointKeeper(TrainerCallback):  # type: ignore[misc]
    """Writes them among the training's own checkpoints, which go when it is cancelled; a training that is resumed after
    one writes the later ones again."""

    def __init__(self, folder: Path, passes: Mapping[int, float]) -> None:
        """`passes`: the number of passes that end with a step, by step."""
        self._folder, self._passes = folder / CHECKPOINTS, passes

    def on_step_end(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        lr_scheduler: Any = None,
        **_: Any,
    ) -> None:
        step = state.global_step
        if step not in self._passes:
            return
        # The rates that the epoch's steps took, by the schedule: a resumed training has not seen them all.
        begin = max((end for end in self._passes if end < step), default=0)
        peak, share = lr_scheduler.base_lrs[0], lr_scheduler.lr_lambdas[0]
        rate = sum(peak * share(taken) for taken in range(begin, step)) / (step - begin)
        fields = {"step": step, "passes": self._passes[step], "learning_rate": rate}
        self._folder.mkdir(parents=True, exist_ok=True)
        with replaced_durably(self._folder / f"epoch-{self._passes[step]:g}.safetensors") as path:
            save_file(_tensors(model, optimizer), path, {name: repr(value) for name, value in fields.items()})

    def copy_into(self, reference: Path, last_step: int) -> list[dict[str, Any]]:
        """Copy those up to a step into the reference's folder; returns the provenance's list, in order."""
        found = []
        (reference / KEPT).mkdir()
        for path in self._folder.glob("epoch-*.safetensors"):
            with safe_open(path, framework="pt") as file:
                about = file.metadata()
            step = int(about["step"])
            if step <= last_step:
                shutil.copyfile(path, reference / KEPT / path.name)
                rates = float(about["passes"]), float(about["learning_rate"])
                found.append(KeptCheckpoint(f"{KEPT}/{path.name}", step, *rates))
        return [one.to_fields() for one in sorted(found, key=lambda one: one.step)]


def _tensors(model: torch.nn.Module, optimizer: Any) -> dict[str, torch.Tensor]:
    """A weight that never had a gradient has no moments yet: they are zero."""
    tensors = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            state = optimizer.state.get(weight, {})
            none = torch.zeros_like(weight)
            for prefix, value in (
                (WEIGHT, weight),
                (FIRST_MOMENT, state.get("exp_avg", none)),
                (SECOND_MOMENT, state.get("exp_avg_sq", none)),
            ):
                tensors[prefix + name] = value.detach().to("cpu", torch.float32).contiguous()
    return tensors
