"""Plans where each decoder layer of a model that is spread goes: GPUs, main memory or disk. Imports torch."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter

from ..data.errors import ModelUnusable
from ..system.process_facts import free_memory

MEMORY, DISK = "cpu", "disk"
Place = int | str
"""The number of a GPU, `MEMORY` or `DISK`, as accelerate's device maps have them."""
_GPU_SHARE = 0.8
"""Of a GPU's free memory for weights. The rest is for a batch's activations: where it is short, batches are halved."""
_MEMORY_SHARE = 0.5
"""Of the free main memory for weights. The rest is the system's cache of layers on disk, and the process's own."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each decoder layer of a model is. layers: the name of their list in the model; main: the main device, on
    which `others` are, the names of all parts beside the layers."""

    layers: str
    places: tuple[Place, ...]
    main: Place
    others: tuple[str, ...]

    @classmethod
    def of(cls, empty: Any, label: str, device: str, room: Mapping[Place, int] | None = None) -> "Placement":
        """The placement for a model, given without weights (on torch's device meta) in the types it will have.

        Raises `ModelUnusable` if its decoder layers cannot be placed apart.
        """
        main: Place = 0 if device == "cuda" else MEMORY
        name, layers = _decoder_layers(empty, label)
        sizes = [_bytes(tensors_of(layer)) for layer in layers]
        others = _bytes(tensors_of(empty)) - sum(sizes)
        room = dict(_measured_room(device) if room is None else room)
        room[main] = max(0, room[main] - others)
        return cls(name, tuple(_places(sizes, room, main)), main, tuple(_other_modules(empty, name)))

    @property
    def device_map(self) -> dict[str, Place]:
        """As transformers takes it."""
        layers = {f"{self.layers}.{number}": place for number, place in enumerate(self.places)}
        return dict.fromkeys(self.others, self.main) | layers

    @property
    def sentence(self) -> str:
        """What lies where, and what that costs, for the log."""
        counts = Counter(self.places)
        where = ", ".join(f"{count:,} {_place_text(place)}" for place, count in counts.items())
        read = sum(count for place, count in counts.items() if self.is_copied(place) or place == DISK)
        if not read:
            return f"layers: {where}"
        return (
            f"layers: {where}; {read:,} of {len(self.places):,} layers are read from main memory or disk in every "
            "batch, which larger batches make cheaper"
        )

    def check_disk(self, empty: Any, label: str, files: Sequence[Path], folder: Path) -> None:
        """Raise `ModelUnusable` if the folder's disk has no room for the layers on disk that have to be written."""
        layers = [layer for layer, place in zip(self.layers_of(empty), self.places, strict=True) if place == DISK]
        needed, free = _bytes(chain.from_iterable(map(tensors_of, layers))), shutil.disk_usage(folder.parent).free
        if needed > free and not _stored_as_needed(empty, files):
            raise ModelUnusable(
                f"Layers of the model {label!r} need {needed / 2**30:,.1f} GiB on the disk of {folder.parent}, which "
                f"has {free / 2**30:,.1f} GiB free. Free space, or choose the precision that the model is stored in."
            )

    def layers_of(self, model: Any) -> Any:
        """The model's decoder layers, in order; the model may have an adapter."""
        return getattr(model, "get_base_model", lambda: model)().get_submodule(self.layers)

    def is_copied(self, place: Place) -> bool:
        """Whether layers at a place are copied to the main device to be computed."""
        return isinstance(place, str) and self.main != MEMORY


def device_of(place: Place) -> torch.device:
    """The device of a place's weights; mapped files count as main memory."""
    return torch.device("cuda", place) if isinstance(place, int) else torch.device("cpu")


def tensors_of(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """All parameters and buffers."""
    return chain(module.parameters(), module.buffers())


def _decoder_layers(model: Any, label: str) -> tuple[str, Any]:
    """Name and list of a model's decoder layers. Raises `ModelUnusable`."""
    count = model.config.get_text_config().num_hidden_layers
    lists = {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, torch.nn.ModuleList) and len(part) == count
    }
    name = max(lists, key=lambda found: _bytes(tensors_of(lists[found])), default=None)
    if name is None:
        raise ModelUnusable(
            f"The layers of the model {label!r} are not in one list, so they cannot be spread. Leave out --placement."
        )
    owners = Counter(id(tensor) for layer in lists[name] for tensor in tensors_of(layer))
    if max(owners.values()) > 1:
        raise ModelUnusable(
            f"Layers of the model {label!r} share weights, so they cannot be spread. Leave out --placement."
        )
    return name, lists[name]


def _other_modules(model: Any, layers: str) -> Iterator[str]:
    """Names of the modules, and of parameters and buffers in no other, that are not the list of layers or around it."""
    owner = ""
    for part in layers.split("."):
        module = model.get_submodule(owner)
        own = chain(
            module.named_children(), module.named_parameters(recurse=False), module.named_buffers(recurse=False)
        )
        yield from (f"{owner}.{name}".lstrip(".") for name, _ in own if name != part)
        owner = f"{owner}.{part}".lstrip(".")


def _places(sizes: Sequence[int], room: Mapping[Place, int], main: Place) -> list[Place]:
    """A place for each layer, in order, given their sizes and the room for them [bytes]: if the GPUs hold all, the same
    share of each one's room; else what fits on GPUs, then in main memory, and the rest on disk. The main device then
    keeps room for a layer that is copied to it."""
    gpus: dict[Place, int] = {place: size for place, size in room.items() if isinstance(place, int)}
    for percent in range(1, 101) if gpus else ():
        found = _filled(sizes, {place: size * percent // 100 for place, size in gpus.items()})
        if DISK not in found:
            return found
    kept = max(sizes) if main in gpus else 0
    return _filled(sizes, {**gpus, MEMORY: room[MEMORY], main: room[main] - kept})


def _filled(sizes: Sequence[int], room: Mapping[Place, int]) -> list[Place]:
    """The first place, in order of `room`, then the next: what is left is on disk."""
    found: list[Place] = []
    left = list(room.items())
    for size in sizes:
        while left and left[0][1] < size:
            left.pop(0)
        if left:
            left[0] = left[0][0], left[0][1] - size
        found.append(left[0][0] if left else DISK)
    return found


def _measured_room(device: str) -> dict[Place, int]:
    gpus = range(torch.cuda.device_count()) if device == "cuda" else ()
    room: dict[Place, int] = {gpu: int(_GPU_SHARE * torch.cuda.mem_get_info(gpu)[0]) for gpu in gpus}
    return {**room, MEMORY: int(_MEMORY_SHARE * free_memory())}


def _stored_as_needed(empty: Any, files: Sequence[Path]) -> bool:
    """Whether a model's files hold its weights in the type and form in which they are needed."""
    if any(isinstance(entry, WeightConverter) for entry in get_model_conversion_mapping(empty)):
        return False
    needed = {str(parameter.dtype).removeprefix("torch.") for parameter in empty.parameters()}
    return all(_SAFETENSORS_TYPES.get(kind) in needed for path in files for kind in _types_in(path))


_SAFETENSORS_TYPES = {"F32": "float32", "BF16": "bfloat16"}


def _types_in(path: Path) -> set[str]:
    with safe_open(path, framework="pt") as file:
        return {file.get_slice(name).get_dtype() for name in list(file.keys())}


def _bytes(tensors: Iterator[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _place_text(place: Place) -> str:
    return f"on cuda:{place}" if isinstance(place, int) else {MEMORY: "in main memory", DISK: "on disk"}[place]
