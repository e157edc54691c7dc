"""Finds out how a model's folder stores its weights quantized, and the shapes of the whole ones; imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..data.errors import ModelUnusable
from .stored_layouts import LAYOUTS, Layout, LayoutRefused, Shape
from .weight_files import StoredTensor, tensor_bytes, tensor_table

_INSTEAD = "Choose its weights in bfloat16 or float32."
_OF_QUANTIZED = ("F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "I8", "U8", "I32")
"""Dtypes whose numbers mean nothing without scales."""
_LONGEST_CONTENT = 4096  # bytes


@dataclass(slots=True)
class StoredWeight:
    """A quantized weight: the tensors that stand for it, by the ends of their names after the module's, and the shape
    that it has once it is de-quantized."""

    module: str
    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    shape: Shape = ()

    @property
    def name(self) -> str:
        return f"{self.module}.weight"


def quantization_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a model's config says on its quantized weights; empty if they are whole."""
    text = config.get("text_config")
    found = config.get("quantization_config") or (text.get("quantization_config") if isinstance(text, dict) else None)
    return found if isinstance(found, dict) else {"quant_method": found} if found else {}


def method_of(config: dict[str, Any]) -> str | None:
    """The method that a model's weights are stored quantized by, as its config names it; None if they are whole."""
    fields = quantization_of(config)
    if not fields:
        return None
    early = "bitsandbytes" if fields.get("load_in_4bit") or fields.get("load_in_8bit") else None
    return str(fields.get("quant_method") or early)[:40]


def check_method(name: str, config: dict[str, Any]) -> None:
    """Raise `ModelUnusable` for a method, or settings of it, that are not read, or whose library is not installed."""
    method = method_of(config)
    if method is None:
        return
    layout = LAYOUTS.get(method)
    if layout is None:
        raise ModelUnusable(
            f"The model {name!r} is stored quantized ({method}), which is not supported: {', '.join(LAYOUTS)} are. "
            f"{_INSTEAD}"
        )
    if layout.package and find_spec(layout.package) is None:
        raise ModelUnusable(
            f"The model {name!r} is stored quantized, which needs the package {method}, which is not installed. Run: "
            'pip install "lobass[quantized]"'
        )
    try:
        layout.check_fields(quantization_of(config))
    except LayoutRefused as error:
        raise ModelUnusable(
            f"The model {name!r} is stored quantized ({method}) with {error}, which is not supported. {_INSTEAD}"
        ) from error


def whole_shapes(config: dict[str, Any], files: Sequence[Path]) -> dict[str, Shape]:
    """Shapes of a model's weights by their names, those of quantized ones as they are once they are de-quantized.

    Raises `ModelUnusable` as `stored_weights` does.
    """
    weights, others = stored_weights(config, files)
    return {weight.name: weight.shape for weight in weights} | {name: shape for name, (_, shape) in others.items()}


def stored_weights(config: dict[str, Any], files: Sequence[Path]) -> tuple[list[StoredWeight], dict[str, StoredTensor]]:
    """A model's quantized weights, and its other tensors without those that quantize activations.

    Raises `ModelUnusable` if the tensors of a quantized weight do not fit each other: libraries' kernels read as many
    scales as a weight's shape asks for, whether they are there or not.
    """
    tables = {path: tensor_table(path) for path in files}
    others = {name: tensor for table in tables.values() for name, tensor in table.items()}
    layout = LAYOUTS.get(method_of(config) or "")
    if layout is None:
        return [], others
    weights = _grouped(layout, others)
    contents: dict[str, bytes] = {}
    for path, table in tables.items():
        read = [name for name in table if name.endswith(tuple(f".{ending}" for ending in layout.contents))]
        contents |= tensor_bytes(path, read, _LONGEST_CONTENT)
    for weight in weights:
        own = {ending: contents[name] for ending in weight.tensors
               if (name := f"{weight.module}.{ending}") in contents}  # fmt: skip
        try:
            weight.shape = layout.whole_shape(weight.tensors, own, quantization_of(config))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)[:200].rstrip(".")
            raise ModelUnusable(
                f"The quantized weight {weight.name[:120]} is damaged ({reason}). Fetch the model again."
            ) from error
        for ending in weight.tensors:
            del others[f"{weight.module}.{ending}"]
    others = {name: each for name, each in others.items() if name.rpartition(".")[2] not in layout.of_activations}
    if odd := next((name for name, (dtype, _) in others.items() if dtype in _OF_QUANTIZED), None):
        raise ModelUnusable(
            f"The tensor {odd[:120]} is of no weight that {method_of(config)} quantized in a form that is read. "
            f"{_INSTEAD}"
        )
    return weights, others


def _grouped(layout: Layout, table: dict[str, StoredTensor]) -> list[StoredWeight]:
    """The quantized weights in a table of tensors."""
    found: dict[str, StoredWeight] = {}
    for name, tensor in table.items():
        for ending in (*layout.endings, "weight"):
            if (module := name.removesuffix(f".{ending}")) != name:
                found.setdefault(module, StoredWeight(module)).tensors[ending] = tensor
                break
    return [weight for weight in found.values() if weight.tensors.keys() != {"weight"}]
