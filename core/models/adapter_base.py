"""Whether an adapter belongs to a base: by what it calls its base, and by whether its weights fit the base's shapes."""

import re
from collections.abc import Iterator
from pathlib import Path

from .config_facts import INPUT_EMBEDDINGS
from .folder_check import read_json, weight_files
from .weight_files import tensor_shapes

_QUANTIZED = re.compile(
    r"[-_.](unsloth|bnb|[48]-?bits?|int[48]|w[48]a(8|16)|nf4|fp[48]|gptq|awq|hqq|aqlm|eetq|quanto|quantized|dynamic)$"
)
"""What the name of a quantized copy ends with; several may follow each other."""

_HUB_CACHE = re.compile(r"models--.+?--(.+)")
_MODULE = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?")
_ROWS_MAY_DIFFER = (*INPUT_EMBEDDINGS, "lm_head", "embed_out", "output")
"""Layers that have a row a token: an adapter may have been trained with tokens added."""

Shapes = dict[str, tuple[int, ...]]


def base_notice(adapter: str, named: str, label: str, folder: Path) -> str | None:
    """A sentence about an adapter that calls its base otherwise than the base at hand is called; None if it does not.

    `named` is what the adapter says, `label` and `folder` are the base's. The shapes are not looked at.
    """
    ours = _names_of_base(label, folder)
    theirs = _last_part(named)
    if not named or theirs in ours:
        return None
    if _without_quantization(theirs) in {_without_quantization(name) for name in ours}:
        return (
            f"The adapter {adapter!r} was trained on {named!r}, a quantized copy of the base {label!r}. It is put on "
            "the base's full weights, whose losses differ a little from the copy's."
        )
    return (
        f"The adapter {adapter!r} names {named!r} as its base, not {label!r}. Its weights fit the shapes of this base, "
        "so it is accepted. Make sure that both are the same weights: on another base its scores mean nothing."
    )


def shape_conflict(adapter: Path, base: Path) -> str | None:
    """Why an adapter's weights cannot belong to the base, both shapes named; None if they fit or cannot be told.

    Only tables of tensors are read. Layers that the base's files name otherwise than the loaded model does are left
    to the loading.
    """
    shapes: Shapes = {}
    for path in weight_files(base):
        shapes.update(tensor_shapes(path))
    layers = _Layers(shapes)
    parts: dict[str, Shapes] = {}
    for name, shape in tensor_shapes(adapter / "adapter_model.safetensors").items():
        if (found := _MODULE.fullmatch(name)) and len(shape) == 2:
            parts.setdefault(found[1], {})[found[2]] = shape
    for module, pair in parts.items():
        if not {"A", "B"} <= pair.keys():
            continue
        needed = (pair["B"][0], pair["A"][1])  # what B times A is added to
        there = layers.shapes_of(module)
        if there is None:
            return f"it has weights for {module}, a layer that the base does not have"
        if there and not any(_fits(needed, shape, module) for shape in there):
            return f"for {module} it needs weights of shape {needed}, and the base has {there[0]}"
    return None


class _Layers:
    """The base's weights by the endings of their names: files and loaded models differ in how names begin."""

    def __init__(self, shapes: Shapes) -> None:
        self._by_ending: dict[str, list[tuple[int, ...]]] = {}
        self._kinds: set[str] = set()
        for name, shape in shapes.items():
            if name.endswith(".weight") and len(shape) == 2:
                for ending in _endings(name.removesuffix(".weight")):
                    self._by_ending.setdefault(ending, []).append(shape)
                    self._kinds.add(_kind(ending))

    def shapes_of(self, module: str) -> list[tuple[int, ...]] | None:
        """Shapes that a module's weight may have, none where its kind is unknown; None if only others of its kind
        are there, in layers of another number."""
        of_kind = False
        for ending in _endings(module):
            if found := self._by_ending.get(ending):
                return found
            of_kind |= _kind(ending) in self._kinds
        return None if of_kind else []


def _endings(module: str) -> Iterator[str]:
    """A module's name and its endings, down to the last that still tells which layer it is of."""
    parts = module.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdigit()]
    last = max(0, numbers[0] - 1) if numbers else len(parts) - 1
    for start in range(last + 1):
        yield ".".join(parts[start:])


def _kind(ending: str) -> str:
    return re.sub(r"\d+", "#", ending)


def _fits(needed: tuple[int, ...], shape: tuple[int, ...], module: str) -> bool:
    if needed in (shape, shape[::-1]):  # GPT-2 stores its layers the other way round
        return True
    # B of an embedding has its width, A a column a token; that of a head the other way round.
    return module.rpartition(".")[2] in _ROWS_MAY_DIFFER and (needed[1] == shape[1] or needed[0] == shape[1])


def _names_of_base(label: str, folder: Path) -> set[str]:
    stored = read_json(folder / "config.json").get("_name_or_path")
    named = {_last_part(name) for name in (label, str(folder), stored) if isinstance(name, str) and name}
    return named - {""}


def _last_part(name: str) -> str:
    """The last part of a path of any system, or of a Hub's id, in lower case; of a Hub's cache the model's name."""
    parts = [part for part in re.split(r"[/\\]+", name.strip()) if part not in ("", ".")]
    if len(parts) > 2 and parts[-2] == "snapshots" and (cached := _HUB_CACHE.fullmatch(parts[-3])):
        return cached[1].lower()
    return parts[-1].lower() if parts else ""


def _without_quantization(name: str) -> str:
    while (shorter := _QUANTIZED.sub("", name)) != name:
        name = shorter
    return name
