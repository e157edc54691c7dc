"""Where and in which precision to compute, decided without importing torch in this process."""

import os
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..data import settings
from ..data.errors import ModelUnusable

DEVICES = ("auto", "cuda", "cpu")
DTYPES = ("auto", "float32", "bfloat16")
_DRIVERS = ("nvidia[0-9]*", "dxg", "kfd")
"""Device files of NVIDIA's driver, of Windows' for its subsystem for Linux, and of AMD's."""


def resolve_device(device: str) -> str:
    """The device that `auto` means on this machine: the GPU where torch can use one.

    Raises `ModelUnusable` if a GPU is asked for and there is none.
    """
    if device == "cpu":
        return "cpu"
    if _gpu_count():
        return "cuda"
    if device == "cuda":
        raise ModelUnusable(
            f"A GPU was asked for (device cuda) and torch {version('torch')} sees none. Choose auto or cpu, or install "
            "the build of torch for it."
        )
    return "cpu"


def resolve_dtype(dtype: str, device: str) -> str:
    """The precision that `auto` means: bfloat16 trunk on a GPU, float32 on a CPU."""
    if dtype == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    return dtype


def training_dtype(method: str, device: str) -> str:
    """The precision in which a base is loaded to be trained. Steps of a full fine-tuning are smaller than bfloat16
    resolves; under an adapter (in float32) the base stays as it is, and at half the size more of them fit a GPU."""
    return "bfloat16" if method == "lora" and device == "cuda" else "float32"


def batch_budget(device: str) -> int:
    """Tokens of one scoring batch on that device, padding included [tokens]."""
    return settings.integer(f"{device}_batch_tokens")


def scoring_processes(device: str) -> int:
    """How many processes divide a scoring job on that device: one a GPU, and one on a CPU, unless a setting says."""
    return settings.integer("scoring_processes") or (_gpu_count() if device == "cuda" else 1)


def encoding_processes(device: str) -> int:
    """How many processes tokenise ahead of each that scores: one on a GPU, none on a CPU, unless a setting says."""
    asked = settings.integer("encoding_processes")
    return asked if asked >= 0 else int(device == "cuda")


def process_environment(device: str, process: int, count: int) -> dict[str, str]:
    """What the environment of one of `count` processes adds: its own GPU, or its share of the cores."""
    if device == "cuda":
        visible = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
        gpus = visible or [str(number) for number in range(max(1, _gpu_count()))]
        return {"CUDA_VISIBLE_DEVICES": gpus[process % len(gpus)]}
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))}


@cache
def _gpu_count() -> int:
    # Importing torch takes seconds and hundreds of megabytes, which the dashboard should not pay: ask a child, and
    # only where a driver is present at all.
    if not has_driver(Path("/dev")):
        return 0
    probe = [sys.executable, "-c", "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"]
    try:
        answer = subprocess.run(probe, check=False, capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:  # a driver that hangs
        return 0
    return int(answer.stdout.split()[-1]) if answer.returncode == 0 else 0


def has_driver(devices: Path) -> bool:
    """Whether that folder of device files has one of a GPU's driver."""
    return any(any(devices.glob(name)) for name in _DRIVERS)
