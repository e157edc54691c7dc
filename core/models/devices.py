"""Chooses device and precision without importing torch in this process."""

import os
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..data import settings
from ..data.errors import ModelUnusable
from ..data.placement import ONE, SPREAD

DEVICES = ("auto", "cuda", "cpu")
DTYPES = ("auto", "float32", "bfloat16")
_DRIVERS = ("nvidia[0-9]*", "dxg", "kfd")
"""Device files of the drivers of NVIDIA, WSL and AMD."""


def resolve_device(device: str) -> str:
    """Resolve `auto` to a device of this machine: a GPU if torch can use one.

    Raises `ModelUnusable` if a GPU is requested and there is none.
    """
    if device == "cpu":
        return "cpu"
    if _gpu_count():
        return "cuda"
    if device == "cuda":
        raise ModelUnusable(
            f"A GPU was requested (device cuda), but torch {version('torch')} finds none. Choose auto or cpu, or "
            "install the torch build for your GPU."
        )
    return "cpu"


def resolve_dtype(dtype: str, device: str) -> str:
    """Resolve `auto` to a precision: bfloat16 trunk on a GPU, float32 on a CPU."""
    if dtype == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    return dtype


def training_dtype(method: str, device: str) -> str:
    """The precision in which a base is loaded for training. Full fine-tuning needs float32: its steps are too small for
    bfloat16. Under a float32 adapter the base is frozen, so it can take half the memory in bfloat16."""
    return "bfloat16" if method == "lora" and device == "cuda" else "float32"


def batch_budget(device: str) -> int:
    """Batch size for scoring on that device, padding included [tokens]."""
    return settings.integer(f"{device}_batch_tokens")


def scoring_processes(device: str, placement: str = ONE) -> int:
    """Number of scoring processes for that device: one for models that are spread; else one per GPU, one on a CPU,
    unless a setting overrides it."""
    if placement == SPREAD:
        return 1
    return settings.integer("scoring_processes") or (_gpu_count() if device == "cuda" else 1)


def check_processes(count: int, device: str, what: str = "processes", advice: str = "Lower --processes.") -> None:
    """Raise `ModelUnusable` if so many processes would not have a GPU each; `what` each of them is for."""
    if device == "cuda" and count > (found := _gpu_count()):
        raise ModelUnusable(f"{count} {what} need {count} GPUs, one each, and this machine has {found}. {advice}")


def encoding_processes(device: str) -> int:
    """Number of tokenising processes per scoring process: one on a GPU, none on a CPU, unless a setting overrides
    it."""
    asked = settings.integer("encoding_processes")
    return asked if asked >= 0 else int(device == "cuda")


def process_environment(device: str, process: int, count: int) -> dict[str, str]:
    """Environment variables for one of `count` processes: its GPU, or its share of the cores."""
    if device == "cuda":
        visible = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
        gpus = visible or [str(number) for number in range(max(1, _gpu_count()))]
        return {"CUDA_VISIBLE_DEVICES": gpus[process % len(gpus)]}
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))}


def keep_to_share(device: str, process: int, count: int) -> None:
    """Leave this process only what one of `count` may use: its GPU, or its share of the cores, and one scoring process.
    Call it before torch is imported. Raises `ModelUnusable` as `resolve_device` does."""
    os.environ.update(process_environment(resolve_device(device), process, count))
    os.environ["LOBASS_SCORING_PROCESSES"] = "1"  # a setting for all GPUs, or for all cores


@cache
def _gpu_count() -> int:
    # Importing torch takes seconds and hundreds of megabytes, too much for the dashboard: ask a child process, and
    # only if there is a driver.
    if not has_driver(Path("/dev")):
        return 0
    probe = [sys.executable, "-c", "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"]
    try:
        answer = subprocess.run(probe, check=False, capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:  # a driver that hangs
        return 0
    return int(answer.stdout.split()[-1]) if answer.returncode == 0 else 0


def has_driver(devices: Path) -> bool:
    """Whether that folder has a device file of a GPU driver."""
    return any(any(devices.glob(name)) for name in _DRIVERS)
