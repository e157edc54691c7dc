"""Which quantizations of weights at load there are, and whether their library is installed; imports no torch."""

from importlib.util import find_spec

from ..data.errors import ModelUnusable
from .cache_key import QUANTIZATION_RULE

QUANTIZATIONS = tuple(QUANTIZATION_RULE)


def check_quantization(kind: str | None) -> None:
    """Raise `ModelUnusable` for a kind that does not exist, or whose library is not installed."""
    if kind is None:
        return
    if kind not in QUANTIZATIONS:
        raise ModelUnusable(f"Unknown quantization {kind!r}. Must be one of: {', '.join(QUANTIZATIONS)}.")
    if find_spec("bitsandbytes") is None:
        raise ModelUnusable(
            f"Quantization {kind} needs the package bitsandbytes, which is not installed. Run: "
            'pip install "lobass[quantized]"'
        )
