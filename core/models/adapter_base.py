"""Checks whether an adapter belongs to a base: by the base's name in its config, and by the shapes of its weights."""

import re
from collections.abc import Iterator
from pathlib import Path

from .config_facts import INPUT_EMBEDDINGS
from .folder_check import ADAPTER_WEIGHTS, read_files, read_json
from .stored_quantization import whole_shapes
from .weight_files import tensor_shapes

_QUANTIZED = re.compile(
    r"[-_.](unsloth|bnb|[48]-?bits?|int[48]|w[48]a(8|16)|nf4|fp[48]|gptq|awq|hqq|aqlm|eetq|quanto|quantized|dynamic)$"
)
"""Name endings of quantized copies; there may be several in a row."""

_HUB_CACHE = re.compile(r"models--.+?--(.+)")
_MODULE = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?")
_ROWS_MAY_DIFFER = (*INPUT_EMBEDDINGS, "lm_head", "embed_out", "output")
"""Layers with one row per token: an adapter may have been trained with added tokens."""

Shapes = dict[str, tuple[int, ...]]


def base_notice(adapter: str, named: str, label: str, folder: Path) -> str | None:
    """A sentence if the adapter names a base other than this one, else None.

    `named` is the base in the adapter's config, `label` and `folder` are the actual base's. Shapes are not checked.
    """
    ours = _names_of_base(label, folder)
    theirs = _last_part(named)
    if not named or theirs in ours:
        return None
    if _without_quantization(theirs) in {_without_quantization(name) for name in ours}:
        return (
            f"The adapter {adapter!r} was trained on {named!r}, a quantized copy of the base {label!r}. It is applied "
            "to the base's full weights, whose losses differ slightly from the copy's."
        )
    return (
        f"The adapter {adapter!r} names {named!r} as its base, not {label!r}. Its weights fit the shapes of this base, "
        "so it is accepted. Make sure that both are the same weights: with another base the scores are meaningless."
    )


def shape_conflict(adapter: Path, base: Path) -> str | None:
    """Why an adapter's weights cannot belong to the base, with both shapes; None if they fit or this is unknown.

    Only tensor tables are read. Layers whose names differ between the base's files and the loaded model are checked on
    loading.
    """
    layers = _Layers(whole_shapes(read_json(base / "config.json"), read_files(base)))
    parts: dict[str, Shapes] = {}
    for name, shape in tensor_shapes(adapter / ADAPTER_WEIGHTS).items():
        if (found := _MODULE.fullmatch(name)) and len(shape) == 2:
            parts.setdefault(found[1], {})[found[2]] = shape
    for module, pair in parts.items():
        if not {"A", "B"} <= pair.keys():
            continue
        needed = (pair["B"][0], pair["A"][1])  # the shape of B times A
        there = layers.shapes_of(module)
        if there is None:
            return f"it has weights for {module}, a layer that the base does not have"
        if there and not any(_fits(needed, shape, module) for shape in there):
            return f"for {module} it needs weights of shape {needed}, and the base has {there[0]}"
    return None


class _Layers:
    """The base's weights by name suffix: files and loaded models use different prefixes."""

    def __init__(self, shapes: Shapes) -> None:
        self._by_ending: dict[str, list[tuple[int, ...]]] = {}
        self._kinds: set[str] = set()
        for name, shape in shapes.items():
            if name.endswith(".weight") and len(shape) == 2:
                for ending in _endings(name.removesuffix(".weight")):
                    self._by_ending.setdefault(ending, []).append(shape)
                    self._kinds.add(_kind(ending))

    def shapes_of(self, module: str) -> list[tuple[int, ...]] | None:
        """Possible shapes of a module's weight, empty if its kind is unknown; None if the base has this kind only in
        other layers."""
        of_kind = False
        for ending in _endings(module):
            if found := self._by_ending.get(ending):
                return found
            of_kind |= _kind(ending) in self._kinds
        return None if of_kind else []


def _endings(module: str) -> Iterator[str]:
    """A module's name and its suffixes, down to the shortest that still identifies its layer."""
    parts = module.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdigit()]
    last = max(0, numbers[0] - 1) if numbers else len(parts) - 1
    for start in range(last + 1):
        yield ".".join(parts[start:])


def _kind(ending: str) -> str:
    return re.sub(r"\d+", "#", ending)


def _fits(needed: tuple[int, ...], shape: tuple[int, ...], module: str) -> bool:
    if needed in (shape, shape[::-1]):  # GPT-2 stores its layers transposed
        return True
    # For an embedding, B has its width and A one column per token; for a head the reverse.
    return module.rpartition(".")[2] in _ROWS_MAY_DIFFER and (needed[1] == shape[1] or needed[0] == shape[1])


def _names_of_base(label: str, folder: Path) -> set[str]:
    stored = read_json(folder / "config.json").get("_name_or_path")
    named = {_last_part(name) for name in (label, str(folder), stored) if isinstance(name, str) and name}
    return named - {""}


def _last_part(name: str) -> str:
    """The last part of a path (of any operating system) or of a Hub id, in lower case; in a Hub cache the model's
    name."""
    parts = [part for part in re.split(r"[/\\]+", name.strip()) if part not in ("", ".")]
    if len(parts) > 2 and parts[-2] == "snapshots" and (cached := _HUB_CACHE.fullmatch(parts[-3])):
        return cached[1].lower()
    return parts[-1].lower() if parts else ""


def _without_quantization(name: str) -> str:
    while (shorter := _QUANTIZED.sub("", name)) != name:
        name = shorter
    return name
