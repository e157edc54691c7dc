"""Packages that transformers and peft import wherever they are installed, though a job does not need them."""

import sys
from pathlib import Path
from typing import Any

from ..data.errors import ModelUnusable
from .folder_check import read_json
from .sentence_folders import SENTENCE_MODEL
from .stored_quantization import method_of

_FOR_SENTENCES = ("datasets", "sklearn")
_FOR_QUANTIZED = "bitsandbytes"
_FOR_MAPS = "sklearn"


def leave_out_packages(request: dict[str, Any]) -> None:
    """From now on, this process does not find the packages that the job of this request does not need.

    To be called before transformers is imported: it saves a worker a second or two of its start.
    """
    quantized = () if _has_quantized(request) else (_FOR_QUANTIZED,)
    needed = _FOR_SENTENCES if SENTENCE_MODEL in request else (_FOR_MAPS,) if request.get("kind") == "map" else ()
    for name in (*quantized, *(name for name in _FOR_SENTENCES if name not in needed)):
        # With None there, Python says that there is no such package, to an import as to a look whether there is one.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _has_quantized(fields: Any) -> bool:
    """Whether anything in a request is a model whose weights are quantized as they are loaded, or stored quantized, as
    its fields or its folder say, wherever the job's kind keeps them."""
    if isinstance(fields, list):
        return any(map(_has_quantized, fields))
    if not isinstance(fields, dict):
        return False
    return fields.get("quantization") is not None or _is_stored(fields) or any(map(_has_quantized, fields.values()))


def _is_stored(fields: dict[str, Any]) -> bool:
    if "weights_hash" not in fields or not isinstance(fields.get("path"), str):
        return False
    try:
        return method_of(read_json(Path(fields["path"], "config.json"))) == _FOR_QUANTIZED
    except ModelUnusable:  # the job will say so
        return False
