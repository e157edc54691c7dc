"""Spreads the decoder layers of a model that one device cannot hold: over all GPUs, main memory and files on disk.

Embeddings, final norm and head stay on the main device, the first GPU or the CPU. A layer on another GPU is computed
there. One in main memory or on disk is copied to the main device whenever it is computed, and dropped after it. Layers
on disk are mapped files, the model's own where these hold the weights as they are needed: on a CPU they are computed
where they are, and the system keeps in its cache what fits. Every weight is a tensor that can be read, so adapters are
applied and weights checked as for any model. Imports torch.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.hooks import remove_hook_from_module
from accelerate.utils import send_to_device
from safetensors import safe_open

from .layer_places import Place, Placement, device_of, tensors_of
from .unloadable import refuse_gaps

# It warns of weights without values, which they are only until `take_over` has mapped them.
logging.getLogger("accelerate.big_modeling").addFilter(lambda record: "on the meta device" not in record.getMessage())


@dataclass(frozen=True, slots=True)
class Spread:
    """Asks for a model to be spread. folder: where weights go that no file of the model holds as they are needed, while
    it is loaded; report: gets a sentence on what lies where; room: for weights, by place but the disk [bytes], measured
    if None."""

    folder: Path
    report: Callable[[str], None] = lambda _: None
    room: Mapping[Place, int] | None = None

    @contextmanager
    def emptied_folder(self) -> Iterator[None]:
        """There is no folder when the context begins and none when it has ended: what a load that was killed has left
        would count as used, and mapped files are freed by the system when the model is gone, however the process
        ends."""
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def take_over(placement: Placement, model: Any, label: str, folder: Path) -> None:
    """Replace accelerate's placing of a model that transformers just loaded by this one. Files in the folder are mapped
    afterwards, and can be removed.

    Raises `ModelUnusable` for weights on disk of another shape than the model's, which transformers does not compare.
    """
    stored = _stored_on_disk(model)
    _remove_hooks(model)
    vars(model).pop("hf_device_map", None)  # peft would place the model anew
    kept = tuple(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    paths = {entry["safetensors_file"] for entry in stored.values()}
    files: dict[str, Any] = {path: safe_open(path, framework="pt") for path in paths}
    for name, parameter in list(model.named_parameters()):
        if name not in stored:
            continue
        weights = files[stored[name]["safetensors_file"]].get_tensor(stored[name]["weight_name"])
        if weights.shape != parameter.shape:
            mismatch = (name, tuple(weights.shape), tuple(parameter.shape))
            refuse_gaps(f"The model {label!r}", {"mismatched_keys": [mismatch]})
        dtype = torch.float32 if any(part in name for part in kept) else parameter.dtype
        if weights.dtype != dtype:
            weights = _written(weights, dtype, folder / name)
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, torch.nn.Parameter(weights, requires_grad=False))
    attach(placement, model)


def attach(placement: Placement, model: Any) -> None:
    """Have each layer computed where it can be: on its GPU, or on the main device."""
    layers = placement.layers_of(model)
    for layer, place in zip(layers, placement.places, strict=True):
        copied = placement.is_copied(place)
        runs_on = placement.main if isinstance(place, str) else place
        if copied or runs_on != placement.main:
            hooks = _LayerHooks(device_of(runs_on), copied, device_of(placement.main) if layer is layers[-1] else None)
            layer.register_forward_pre_hook(hooks.before, with_kwargs=True)
            layer.register_forward_hook(hooks.after, always_call=True)


def settle(placement: Placement, model: Any) -> None:
    """Bring every weight to its place, those of an adapter to their layer's."""
    homes = {
        id(tensor): device_of(place)
        for layer, place in zip(placement.layers_of(model), placement.places, strict=True)
        for tensor in tensors_of(layer)
    }
    there: dict[int, Any] = {}  # tied weights stay one
    for owner, name, tensor in list(_owned(model)):
        if id(tensor) not in there:
            there[id(tensor)] = tensor, _moved(tensor, homes.get(id(tensor), device_of(placement.main)))
        owner[name] = there[id(tensor)][1]


class _LayerHooks:
    """Hooks of a layer: its input is moved to the device that computes it, with `copied` its weights too; its output is
    moved `back`, if that is not None."""

    def __init__(self, device: torch.device, copied: bool, back: torch.device | None) -> None:
        self._device, self._copied, self._back = device, copied, back
        self._homes: list[tuple[dict[str, Any], str, torch.Tensor]] = []

    def before(self, layer: torch.nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if self._copied:
            self._homes = list(_owned(layer))
            for owner, name, home in self._homes:
                owner[name] = _moved(home, self._device)
        return send_to_device(args, self._device), send_to_device(kwargs, self._device)

    def after(self, layer: torch.nn.Module, args: Any, output: Any) -> Any:
        for owner, name, home in self._homes:
            owner[name] = home
        self._homes = []
        return output if self._back is None else send_to_device(output, self._back)


def _remove_hooks(model: Any) -> None:
    remove_hook_from_module(model, recurse=True)
    for part in model.modules():
        # accelerate leaves each module a reference to itself: the weights would be kept until they are collected.
        if getattr(vars(part).get("forward"), "__func__", None) is type(part).forward:
            del part.forward


def _stored_on_disk(model: Any) -> dict[str, dict[str, str]]:
    """Of each parameter that transformers left on disk: the file that holds it, and its name there."""
    found: dict[str, dict[str, str]] = {}
    for part in model.modules():
        hook = getattr(part, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            weights = getattr(one, "weights_map", None)
            found |= getattr(getattr(weights, "dataset", weights), "index", {})
    return found


def _written(weights: torch.Tensor, dtype: torch.dtype, path: Path) -> torch.Tensor:
    """The weights in another type, in a file that is mapped: converting them takes no other memory."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and kills who writes to mapped memory
            os.posix_fallocate(file.fileno(), 0, max(1, weights.numel() * dtype.itemsize))
    mapped = torch.from_file(str(path), shared=True, size=weights.numel(), dtype=dtype)
    return mapped.view(weights.shape).copy_(weights)


def _owned(module: torch.nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """Every parameter and buffer, with the dictionary of its module and its name there."""
    for part in module.modules():
        for own in (part._parameters, part._buffers):
            yield from ((own, name, tensor) for name, tensor in own.items() if tensor is not None)


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same parameter or buffer on a device; itself if it is there."""
    if tensor.device == device:
        return tensor
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(tensor.detach().to(device), tensor.requires_grad)
    return tensor.to(device)
