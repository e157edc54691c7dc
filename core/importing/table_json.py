"""A table row as a JSON object.

Parquet values that JSON does not have are converted: dates, times and decimals to text (ISO 8601), bytes to UTF-8 text
or else Base64, maps to lists of pairs, and numbers that are not finite to null.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from .json_parsing import is_turn
from .records import RecordUnusable


def as_json(fields: Mapping[str, Any]) -> bytes:
    """Fields as a JSON object in UTF-8. Raises `RecordUnusable` if a text is not valid UTF-8."""
    try:
        return json.dumps(fields, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        byte = ord(error.object[error.start]) - 0xDC00
        raise RecordUnusable("not UTF-8", f"found byte 0x{byte:02x}") from None


def json_value(value: Any) -> Any:
    """A Parquet value as JSON; conversions are listed in the module docstring."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def without_padding(value: Any) -> Any:
    """A value without null keys in its objects: Arrow pads every object with all keys of its column."""
    if isinstance(value, dict):
        return {key: without_padding(item) for key, item in value.items() if item is not None}
    return [without_padding(item) for item in value] if isinstance(value, list) else value


def unpadded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An Arrow row as it would be in JSONL: without padding inside its turns and tools.

    The keys of the row and of its turns stay: there, null means that a message has no text.
    """
    return {name: _unpadded_turns(value) for name, value in fields.items()}


def _unpadded_turns(value: Any) -> Any:
    if not isinstance(value, list):
        return without_padding(value)
    return [
        {key: without_padding(item) for key, item in turn.items()} if is_turn(turn) else without_padding(turn)
        for turn in value
    ]
