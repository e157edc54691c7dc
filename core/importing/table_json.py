"""A table's row as JSON: its fields as an object, with every value that JSON has a word for.

JSON has no word for some Parquet values: dates, times and decimals become their text (ISO 8601), bytes their UTF-8
text or else Base64, maps lists of pairs, and numbers that are not finite become null.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from .json_parsing import is_turn
from .records import RecordUnusable


def as_json(fields: Mapping[str, Any]) -> bytes:
    """Fields as a JSON object in UTF-8. Raises `RecordUnusable` if a text is none."""
    try:
        return json.dumps(fields, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        byte = ord(error.object[error.start]) - 0xDC00
        raise RecordUnusable("not UTF-8", f"found byte 0x{byte:02x}") from None


def json_value(value: Any) -> Any:
    """A Parquet value as JSON has it; see the module's first lines for what becomes of those it has not."""
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
    """A value without the null keys of its objects: Arrow gives every object of a column the keys of all of them."""
    if isinstance(value, dict):
        return {key: without_padding(item) for key, item in value.items() if item is not None}
    return [without_padding(item) for item in value] if isinstance(value, list) else value


def unpadded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A row of Arrow's as JSONL has it: without padding in what its turns and tools hold.

    The keys of the row and of its turns stay: null says there that a message has no text.
    """
    return {name: _unpadded_turns(value) for name, value in fields.items()}


def _unpadded_turns(value: Any) -> Any:
    if not isinstance(value, list):
        return without_padding(value)
    return [
        {key: without_padding(item) for key, item in turn.items()} if is_turn(turn) else without_padding(turn)
        for turn in value
    ]
