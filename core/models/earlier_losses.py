"""Finds losses of versions up to 0.5.0 that were computed with wrong weights.

Those versions disabled a reference's adapter and took the result for the base. They also let peft initialise an adapter
again, at random or from a base in the wrong precision, dropped tokens that an adapter adds, and never activated
adapters that start at a token (aLoRA).
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..data.errors import ModelUnusable
from .adapter_facts import (
    awaits_tokens,
    brought_weights,
    is_repeatable,
    lacks_rows,
    takes_from_base,
    weights_change,
)
from .cache_key import hash_adapted_weights
from .folder_check import ADAPTER_CONFIG, ADAPTER_WEIGHTS, weight_files
from .known_hashes import content_hash
from .resolving import ModelSpec
from .weight_files import tensor_content


def unsound_roles(models: Mapping[str, ModelSpec], dtype: str, workspace: Path) -> dict[str, str]:
    """Of models by role that were scored together in `dtype`, those whose losses are or may be wrong: the reason by
    role, as part of a sentence. If an adapter is gone or has changed since, its base counts as wrong."""
    unsound = {}
    base, reference = models.get("base"), models.get("reference")
    for role, spec in models.items():
        found = _as_it_was(spec, base if role == "reference" else None, workspace)
        if found and (reason := _wrong_itself(found, dtype)):
            unsound[role] = reason
    if base and reference and reference.adapter and not base.adapter and reference.path == base.path:
        found = _as_it_was(reference, base, workspace)
        if reason := _change(found) if found else "is gone or has changed, so its effect on the base is unknown":
            unsound["base"] = f"they were computed through the adapter {reference.label!r}, which {reason}"
    return unsound


def _change(spec: ModelSpec) -> str | None:
    try:
        return weights_change(Path(spec.adapter or "")) or _overwriting(spec)
    except (ModelUnusable, OSError):
        return "can no longer be read"


def _wrong_itself(spec: ModelSpec, dtype: str) -> str | None:
    """Why a model with an adapter was not loaded as it was trained."""
    folder = Path(spec.adapter or "")
    with suppress(ModelUnusable):
        if not is_repeatable(folder):
            return f"the adapter {spec.label!r} was initialised again, with other values"
        if takes_from_base(folder) and dtype != "float32":
            return f"the adapter {spec.label!r} was initialised again from a rounded base"
        if awaits_tokens(folder):
            return f"the adapter {spec.label!r}, which starts at a token (aLoRA), was never active"
        if lacks_rows(spec):
            return f"the tokens added by the adapter {spec.label!r} were missing"
    return None


def _overwriting(spec: ModelSpec) -> str | None:
    """Whether an adapter's file has base weights that differ from the base's; many files have a copy of some."""
    folder, base_files = Path(spec.adapter or ""), weight_files(Path(spec.path))
    for name, base_name in brought_weights(folder).items():
        own = tensor_content(folder / ADAPTER_WEIGHTS, name)
        if not any(tensor_content(path, base_name) == own for path in base_files):
            return f"replaces the base's {base_name[:80]}"
    return None


def _as_it_was(spec: ModelSpec, base: ModelSpec | None, workspace: Path) -> ModelSpec | None:
    """The model with its adapter's current path; None if it has no adapter, or the adapter is gone or has changed."""
    if spec.adapter is None:
        return None
    for folder in (Path(spec.adapter), workspace / "models" / spec.label):
        try:
            if base is None or _weights_hash(folder, base) == spec.weights_hash:
                return replace(spec, adapter=str(folder))
        except OSError:
            continue
    return None


def _weights_hash(folder: Path, base: ModelSpec) -> str:
    """The hash that version 0.5.0 gave to a base with the adapter in `folder`."""
    files = [(name, content_hash(folder / name)) for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)]
    return hash_adapted_weights(base.weights_hash, files)
