"""Which quantizations of weights at load there are, whether their library is installed, and what is said of quantized
weights; imports no torch."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ..data.errors import ModelUnusable
from ..data.placement import refuse_spread
from .cache_key import QUANTIZATION_RULE
from .folder_check import read_json
from .provenance import PROVENANCE
from .resolving import ModelSpec
from .stored_quantization import method_of

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


def quantized(spec: ModelSpec, kind: str | None) -> ModelSpec:
    """The model with its weights quantized as they are loaded, or whole ones (None). Raises `ModelUnusable` if they are
    stored quantized, or as `check_quantization` does; `SettingInvalid` where models are to be spread."""
    check_quantization(kind)
    if kind is not None:
        refuse_spread("Quantization")
    if kind is not None and (method := stored_method(spec)):
        raise ModelUnusable(
            f"The weights of {spec.label!r} are stored quantized already ({method}). Leave out --quantization."
        )
    return replace(spec, quantization=kind)


def stored_method(spec: ModelSpec) -> str | None:
    """The method that a model's weights are stored quantized by; None if they are whole."""
    return method_of(read_json(Path(spec.path, "config.json")))


def storage_notice(spec: ModelSpec) -> str | None:
    """What it means that a model's weights are stored quantized, if they are."""
    method = stored_method(spec)
    return method and (
        f"The weights of {spec.label!r} are stored quantized ({method}) and de-quantized as they are loaded: they take "
        "the memory of whole weights, and losses are those of the de-quantized ones. Activations are not quantized."
    )


def storage_difference(base: ModelSpec, reference: ModelSpec) -> str | None:
    """A warning if a full reference that was not trained on this base has weights that are stored in another form."""
    ours, theirs = stored_method(base), stored_method(reference)
    trained_on = read_json(Path(reference.path, PROVENANCE)).get("base_weights_hash")
    if reference.adapter is not None or ours == theirs or trained_on == base.weights_hash:
        return None
    forms = [f"quantized ({method})" if method else "whole" for method in (ours, theirs)]
    return (
        f"The weights of the base {base.label!r} are stored {forms[0]}, those of the reference {reference.label!r} "
        f"{forms[1]}, so a part of each score is the quantization's. Choose models in the same form."
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
