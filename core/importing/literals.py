"""Reads a cell that holds a list or an object as text: JSON, or as printed by Python or NumPy.

pandas writes such cells to CSV: `[{'role': 'user', ...}]`, without commas if the value is a NumPy array.
"""

import ast
import math
import re
from typing import Any

from ..data import settings
from .json_parsing import depth_of, parse_json, too_deep, too_many_parts
from .records import RecordUnusable

_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|array\(|,\s*dtype=\w+\)|[\[\]{}(),:]|\s+|[^\s'"\[\]{}(),:]+|.""",
    re.DOTALL,
)
_MOST_TOKENS = 500_000
"""Python's own parser takes several times the memory of JSON's."""
_PLAIN = re.compile(r"-?\d[\d._]*(?:[eE][+-]?\d+)?|True|False|None")
_WORDS = {"nan": "None", "null": "None", "true": "True", "false": "False"}
_OPEN, _CLOSED = ("[", "{", "("), ("]", "}", ")")


def parse_literal(text: str) -> Any:
    """The value of a cell. Raises `RecordUnusable` if it is neither JSON nor a Python literal, or is too deep."""
    try:
        return parse_json(text)
    except RecordUnusable as unusable:
        if unusable.reason != "bad JSON":
            raise
        bad_json = unusable
    try:
        source = _python(text)
        # literal_eval runs no code; deep nesting could crash it, so depth is checked before.
        value = ast.literal_eval(source)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise bad_json from None
    except RecordUnusable as unusable:
        raise (bad_json if unusable.reason == "bad JSON" else unusable) from None
    if depth_of(value) > settings.integer("max_json_depth"):
        raise too_deep()
    return _checked(value)


def _python(text: str) -> str:
    """The text with NumPy's missing commas added and `array(...)` removed. Raises `RecordUnusable`."""
    pieces: list[str] = []
    depth, after_value = 0, False
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.isspace():
            continue
        if token == "array(" or (token.startswith(",") and token.endswith(")")):
            depth += 1 if token == "array(" else -1
            continue
        if after_value and (token[0] in "'\"" or token in _OPEN):
            pieces.append(",")
        depth += (token in _OPEN) - (token in _CLOSED)
        if depth > settings.integer("max_json_depth"):
            raise too_deep()
        if len(pieces) > _MOST_TOKENS:
            raise too_many_parts(_MOST_TOKENS)
        after_value = token in _CLOSED or token[0] in "'\""
        token = _WORDS.get(token, token)
        if not after_value and token not in _OPEN and token not in ",:" and not _PLAIN.fullmatch(token):
            raise RecordUnusable("bad JSON", f"found {token[:40]!r} in a cell")
        pieces.append(token)
    return " ".join(pieces)


def _checked(value: Any) -> Any:
    """The value as JSON: string keys, tuples as lists. Raises `RecordUnusable` for values JSON cannot hold."""
    if isinstance(value, dict):
        return {str(key): _checked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_checked(item) for item in value]
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise RecordUnusable("lone surrogate", f"found \\u{ord(error.object[error.start]):04x}") from None
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordUnusable("NaN or infinity", "a number too large in a cell")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise RecordUnusable("wrong type", f"found {type(value).__name__} in a cell")
