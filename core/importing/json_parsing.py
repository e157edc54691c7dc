"""Parses one JSON record strictly: invalid JSON, and values that cannot be stored, are rejected with a reason."""

import json
import math
import re
from typing import Any

from ..data import settings
from .records import RecordUnusable, SourceRecord

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[{}\[\]]', re.DOTALL)
_STRING_OR_PART = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{\[,]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


MOST_PARTS = 1_000_000
"""The most objects, lists and commas of a record, texts aside: each takes 64 bytes and more once it is parsed."""
_SHORT = 2**18
"""Texts up to this length [bytes] are small however they are filled."""


def _refuse_constant(name: str) -> Any:
    raise RecordUnusable("NaN or infinity", f"found {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise RecordUnusable("NaN or infinity", f"{digits} is too large for a number")
    return number


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
"""Raises `ValueError`, `RecordUnusable` for numbers not allowed in JSON, `RecursionError` for too many levels."""


def is_json(text: str) -> bool:
    """Whether the text is one complete JSON value."""
    try:
        DECODER.decode(text)
    except (ValueError, RecursionError, RecordUnusable):
        return False
    return True


def parse_record(line: int, original: bytes) -> SourceRecord:
    """The record of one JSON object. If a name occurs twice, the last value is used, as in most readers.

    A list of turns is read as the object {"conversations": [...]}, which becomes the original. Raises `RecordUnusable`
    with the reason if it is not an object that can be stored.
    """
    try:
        text = original.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1} of the record is 0x{original[error.start]:02x}"
        raise RecordUnusable("not UTF-8", found) from None
    return as_record(line, parse_json(text), text, original)


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises `RecordUnusable` if it is invalid, too deep, has lone surrogates, or would take
    too much memory."""
    check_parts(text)
    # Checked before parsing: the parser's own limit depends on the current stack depth, not only on the record.
    if _opens_too_many(text):
        raise too_deep()
    try:
        value = DECODER.decode(text)
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:
        raise bad_json(error, 0) from None
    check_value(value, text)
    return value


def check_parts(text: bytes | str, most: int = MOST_PARTS) -> None:
    """Raise `RecordUnusable` for a JSON text of too many parts, before it is parsed."""
    if len(text) <= _SHORT:
        return
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if content.count(b"{") + content.count(b"[") + content.count(b",") <= most:
        return
    parts = 0
    for match in _STRING_OR_PART.finditer(content):
        parts += content[match.start()] != ord('"')
        if parts > most:
            raise too_many_parts(most)


def too_many_parts(most: int = MOST_PARTS) -> RecordUnusable:
    """The rejection for a record that would take too much memory."""
    return RecordUnusable("too many parts", f"more than {most:,}")


def bad_json(error: ValueError, start: int) -> RecordUnusable:
    """The rejection for an error of `DECODER` in a record that begins at character `start` of its text."""
    if isinstance(error, json.JSONDecodeError):
        return RecordUnusable("bad JSON", f"{error.msg} at character {error.pos - start + 1} of the record")
    return RecordUnusable("bad JSON", str(error))


def as_record(line: int, value: Any, text: str, original: bytes) -> SourceRecord:
    """`value`, parsed from `text`, as a record. Raises `RecordUnusable` unless it is an object or a list of turns."""
    if isinstance(value, list) and value and all(map(is_turn, value)):
        return SourceRecord(line, b'{"conversations": ' + original.strip() + b"}", {"conversations": value})
    if not isinstance(value, dict):
        raise RecordUnusable("not an object", f"found {text[:200]}")
    return SourceRecord(line, original, value)


def is_turn(value: Any) -> bool:
    """Whether a value is an object that names a speaker."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


def check_value(value: Any, text: str) -> None:
    """Raise `RecordUnusable` if `value`, parsed from `text`, is too deep or has a lone surrogate."""
    limit = settings.integer("max_json_depth")
    # Counting brackets is fast and never undercounts; only walk through records with many of them.
    if text.count("{") + text.count("[") > limit and depth_of(value) > limit:
        raise too_deep()
    if _SURROGATE_ESCAPE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise RecordUnusable("lone surrogate", f"found \\u{ord(error.object[error.start]):04x}") from None


def _opens_too_many(text: str) -> bool:
    """Whether more brackets are open at once than the setting max_json_depth allows, whether or not the text is
    JSON."""
    limit = settings.integer("max_json_depth")
    if text.count("{") + text.count("[") <= limit:
        return False
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += (match[0] in "{[") - (match[0] in "}]")
        if depth > limit:
            return True
    return False


def depth_of(value: Any) -> int:
    """Nesting depth of objects and lists, the value itself included."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def too_deep() -> RecordUnusable:
    """The rejection for a record that is nested deeper than the setting max_json_depth."""
    return RecordUnusable("nested too deep", f"more than {settings.integer('max_json_depth')} levels")
