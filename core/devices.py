"""Where and in which precision to compute, decided without importing torch in this process."""

import subprocess
import sys
from functools import cache
from pathlib import Path

from core import settings
from core.errors import ModelUnusable

DEVICES = ("auto", "cuda", "cpu")
DTYPES = ("auto", "float32", "bfloat16")


def resolve_device(device: str) -> str:
    """The device that `auto` means on this machine: the GPU where torch can use one.

    Raises `ModelUnusable` if a GPU is asked for and there is none.
    """
    if device == "cpu":
        return "cpu"
    if _gpu_available():
        return "cuda"
    if device == "cuda":
        raise ModelUnusable("A GPU was asked for (device cuda) and torch sees none. Choose auto or cpu.")
    return "cpu"


def resolve_dtype(dtype: str, device: str) -> str:
    """The precision that `auto` means: bfloat16 trunk on a GPU, float32 on a CPU."""
    if dtype == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    return dtype


def batch_budget(device: str) -> int:
    """Tokens of one scoring batch on that device, padding included [tokens]."""
    return settings.integer(f"{device}_batch_tokens")


@cache
def _gpu_available() -> bool:
    # Importing torch takes seconds and hundreds of megabytes, which the dashboard should not pay: ask a child, and
    # only where a driver is present at all.
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    probe = [sys.executable, "-c", "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"]
    return subprocess.run(probe, check=False, capture_output=True, timeout=120).returncode == 0
