"""Reads and checks the header of a safetensors file, its table of tensors, before any library trusts it."""

import json
import math
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..data.errors import JsonInvalid, ModelUnusable
from ..system.untrusted_json import check_parts

_LONGEST_TABLE = 100_000_000  # bytes; the limit of safetensors itself
_MOST_PARTS = 3_000_000
"""Of a table of tensors, which has ten for each."""
_BITS = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
}
"""Bits per number, by safetensors' dtype names."""

StoredTensor = tuple[str, tuple[int, ...]]
"""A tensor's dtype (safetensors' name) and its shape."""


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a file's tensors by their names; no weight is read. Raises as `tensor_table` does."""
    return {name: shape for name, (_, shape) in tensor_table(path).items()}


def tensor_table(path: Path) -> dict[str, StoredTensor]:
    """Dtypes and shapes of a file's tensors by their names; no weight is read.

    Source: https://github.com/huggingface/safetensors#format. Raises `ModelUnusable` unless the table is valid
    and its tensors fill the rest of the file without gaps.
    """
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            size = path.stat().st_size
            if length > size - 8:
                raise ValueError("it is shorter than it says")
            if length > _LONGEST_TABLE:
                raise ValueError(f"its table of tensors has {length:,} bytes")
            content = file.read(length)
        check_parts(content, "its table of tensors", _MOST_PARTS, _LONGEST_TABLE)
        return _checked_table(json.loads(content), size - 8 - length)
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError, struct.error, JsonInvalid) as error:
        raise ModelUnusable(f"The weights {path} are damaged ({_said(error)}). Fetch the model again.") from error
    except OSError as error:
        raise ModelUnusable(f"The weights {path} cannot be read ({error.strerror}). Check its permissions.") from error


def tensor_content(path: Path, name: str) -> tuple[str, bytes] | None:
    """A tensor's dtype (safetensors' name) and its bytes; None if the file has no such tensor."""
    table = tensor_table(path)
    return (table[name][0], tensor_bytes(path, [name])[name]) if name in table else None


def tensor_bytes(path: Path, names: Collection[str], most: int | None = None) -> dict[str, bytes]:
    """The bytes of some of a file's tensors, whose table was checked (`tensor_table`); at most `most` of each."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        table = json.loads(file.read(length)) if names else {}
        found = {}
        for name in names:
            begin, end = table[name]["data_offsets"]
            file.seek(8 + length + begin)
            found[name] = file.read(end - begin if most is None else min(most, end - begin))
    return found


def _checked_table(table: Any, data_bytes: int) -> dict[str, StoredTensor]:
    if not isinstance(table, dict):
        raise ValueError("its table of tensors is not a JSON object")
    places: list[tuple[int, int, str]] = []
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in table.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        shape = _shape(name, tensor["shape"])
        if tensor["dtype"] not in _BITS:
            raise ValueError(f"{name[:80]} has an unknown dtype")
        if math.prod(shape) * _BITS[tensor["dtype"]] != 8 * (end - begin):
            raise ValueError(f"{name[:80]} has a byte count that does not match its shape")
        tensors[name] = tensor["dtype"], shape
        places.append((begin, end, name))
    expected = 0
    for begin, end, name in sorted(places):
        if begin != expected:
            raise ValueError(f"{name[:80]} does not begin where the previous tensor ends")
        expected = end
    if expected != data_bytes:
        raise ValueError(f"it has {data_bytes:,} of {expected:,} bytes of weights")
    return tensors


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(isinstance(size, int) and 0 <= size < 2**48 for size in shape):
        raise ValueError(f"the shape of {name[:80]} is not a list of sizes")
    return tuple(shape)


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"its table of tensors lacks {error}"
    if isinstance(error, struct.error):
        return "it is shorter than it says"
    return (
        "its table of tensors is nested too deep" if isinstance(error, RecursionError) else str(error)[:200].rstrip(".")
    )
