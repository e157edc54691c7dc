"""Reads the checkpoints that a job of gradients was planned with."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ...data.errors import ModelChanged
from ...system.file_hash import difference


class CheckpointFiles:
    """The kept checkpoints of a job's reference, by their number from 0."""

    def __init__(self, request: dict[str, Any], device: str) -> None:
        self._listed, self._device = request["checkpoints"], device
        self._folder = Path(request["reference"]["adapter"])
        self._checked: set[int] = set()
        rates = [one["learning_rate"] for one in self._listed]
        self.shares = [rate / sum(rates) for rate in rates]
        """Each checkpoint's share of the learning rates, which sum to 1."""

    def part(self, number: int, prefix: str) -> dict[str, torch.Tensor]:
        """A part of a checkpoint (`kept_checkpoints`), by the weights' names. Raises `ModelChanged` if the file is not
        the one that the job was planned with."""
        path = self._folder / self._listed[number]["file"]
        try:
            if number not in self._checked and (sentence := difference(path, self._listed[number]["sha256"])):
                raise ModelChanged(f"{sentence} Put the reference back, or start again with another.")
            self._checked.add(number)
            with safe_open(path, framework="pt", device=self._device) as file:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (it is no mapping)
                return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise ModelChanged(f"{path} cannot be read ({error}). Put the reference back.") from error
