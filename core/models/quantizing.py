"""Which quantizations of weights at load there are, and whether their library is installed; imports no torch."""

from importlib.util import find_spec
from pathlib import Path

from ..data.errors import ModelUnusable
from .cache_key import QUANTIZATION_RULE
from .folder_check import read_json
from .provenance import PROVENANCE
from .resolving import ModelSpec

QUANTIZATIONS = tuple(QUANTIZATION_RULE)


def can_quantize() -> bool:
    """Whether the library is installed."""
    return find_spec("bitsandbytes") is not None


def check_quantization(kind: str | None) -> None:
    """Raise `ModelUnusable` for a kind that does not exist, or whose library is not installed."""
    if kind is None:
        return
    if kind not in QUANTIZATIONS:
        raise ModelUnusable(f"Unknown quantization {kind!r}. Must be one of: {', '.join(QUANTIZATIONS)}.")
    if not can_quantize():
        raise ModelUnusable(
            f"Quantization {kind} needs the package bitsandbytes, which is not installed. Run: "
            'pip install "lobass[quantized]"'
        )


def quantization_notice(reference: ModelSpec) -> str | None:
    """A warning if a reference that was trained here is scored on weights in another form than it was trained on."""
    provenance = read_json(Path(reference.adapter or reference.path, PROVENANCE))
    trained = provenance.get("quantization")
    if not provenance.get("base_weights_hash") or trained == reference.quantization:
        return None
    form, advice = (f"weights of its base quantized to {trained}", f"Add --quantization {trained}") if trained else (
        "the whole weights of its base", "Leave out --quantization")  # fmt: skip
    return (
        f"The reference {reference.label!r} was trained on {form} and is scored on others, so a "
        f"part of each score is the quantization's. {advice}, or choose the same on the Score page."
    )
