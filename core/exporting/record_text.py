"""A record's own JSON text: joined into one line, split into its fields, or given one more, with nothing re-read.

Numbers, escapes, the order of names and names that stand twice stay as they were written: parsing and printing
again would change some of them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ..data.errors import ExportFailed

# Numbers stay text while a value's end is looked for: an integer of any length must not be converted.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_STRING_OR_SPACE = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+', re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")
_INTEGER = re.compile(r"-?\d+")
_LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FieldText:
    """A field's value as it stands in the record. `kind` is one of text, integer, decimal, boolean, null, nested."""

    kind: str
    raw: str

    @property
    def plain(self) -> str:
        """The value as plain text: a string without quotes and escapes, null as nothing, all else as JSON."""
        if self.kind == "text":
            return str(_DECODER.decode(self.raw))
        if self.kind == "nested":
            return on_one_line(self.raw.encode()).decode() if "\n" in self.raw or "\r" in self.raw else self.raw
        return "" if self.kind == "null" else self.raw


def on_one_line(original: bytes) -> bytes:
    """The record byte for byte, unless line breaks stand between its values: then without space outside strings."""
    if b"\n" not in original and b"\r" not in original:
        return original
    return _STRING_OR_SPACE.sub(rb"\1", original)


def with_field(original: bytes, name: str, value: dict[str, Any]) -> bytes:
    """The record with one field more at its end, the rest byte for byte.

    Raises `ExportFailed` if it has a field of that name already.
    """
    names = [found for found, _ in record_fields(original)]
    if name in names:
        raise name_taken(name)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    body = original.rstrip()[:-1].rstrip()
    return body + (b", " if names else b"") + f"{json.dumps(name)}: {text}}}".encode()


def name_taken(name: str) -> ExportFailed:
    """The error for a record with a field of a name that its scores are to have."""
    return ExportFailed(
        f"A record already has a field named {name!r}, which the scores would replace. "
        "Export without scores, or rename the field."
    )


def record_fields(original: bytes) -> Iterator[tuple[str, FieldText]]:
    """Names and values of a record that is one JSON object. Raises `ExportFailed` if it is none."""
    try:
        yield from _fields(original.decode("utf-8"))
    except (ValueError, IndexError) as error:
        raise ExportFailed(
            f"A stored record is not a JSON object ({error}). Remove its dataset, import it again and export again."
        ) from error


def _fields(text: str) -> Iterator[tuple[str, FieldText]]:
    at = _after_space(text, 0)
    if text[at] != "{":
        raise ValueError(f"it begins with {text[at]!r}")
    at = _after_space(text, at + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        start = at
        value, at = _DECODER.raw_decode(text, at)
        yield str(name), FieldText(_kind(value, text[start:at]), text[start:at])
        at = _after_space(text, at)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _kind(value: Any, raw: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, dict | list):
        return "nested"
    if raw.startswith('"'):
        return "text"
    return "integer" if _INTEGER.fullmatch(raw) else "decimal"


def fits_integer(raw: str) -> bool:
    """Whether a 64-bit integer holds the number exactly as written."""
    return len(raw) <= 20 and raw == str(int(raw)) and abs(int(raw)) <= _LARGEST_INTEGER


def fits_double(raw: str) -> bool:
    """Whether a double holds the number so that its shortest text means the same number."""
    try:
        return len(raw) <= 40 and Decimal(raw) == Decimal(repr(float(raw)))
    except InvalidOperation:
        return False
