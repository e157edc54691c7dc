"""Packages that transformers and peft import wherever they are installed, though a job does not need them."""

import sys
from typing import Any

_NEVER_NEEDED = ("datasets",)
_FOR_QUANTIZED = "bitsandbytes"
_FOR_MAPS = "sklearn"


def leave_out_packages(request: dict[str, Any]) -> None:
    """From now on, this process does not find the packages that the job of this request does not need.

    To be called before transformers is imported: it saves a worker a second or two of its start.
    """
    quantized = () if _asks_for_quantization(request) else (_FOR_QUANTIZED,)
    maps = () if request.get("kind") == "map" else (_FOR_MAPS,)
    for name in (*_NEVER_NEEDED, *quantized, *maps):
        # With None there, Python says that there is no such package, to an import as to a look whether there is one.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _asks_for_quantization(fields: Any) -> bool:
    """Whether anything in a request names a quantization: a model's fields do, wherever the job's kind keeps them."""
    if isinstance(fields, dict):
        return fields.get("quantization") is not None or any(map(_asks_for_quantization, fields.values()))
    return isinstance(fields, list) and any(map(_asks_for_quantization, fields))
