"""Reads JSONL lines, and JSON values in sequence or in an array, keeping each record's original bytes."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from ..data import settings
from ..data.examples import Rejected
from .json_layout import HEAD_CHARACTERS, Layout, layout_of, no_such_split, rows_of_columns
from .json_parsing import DECODER, MOST_PARTS, as_record, bad_json, check_parts, check_value, parse_record, too_deep
from .records import RecordUnusable, SourceRecord
from .table_json import as_json

_CHUNK_BYTES = 2**20
_LONGEST_INDENT = 1_000
_LONGEST_TABLE = 2**28  # characters of a column-wise table, which is held in memory
_MOST_TABLE_PARTS = 4_000_000
_SPACE = re.compile(r"[ \t\r\n,]*")
_BEFORE_VALUE = re.compile(r"[ \t\r\n:]*")
_IN_STRING = re.compile(r'\\.|["\n]', re.DOTALL)
_BETWEEN_STRINGS = re.compile(r'["{}\[\],\n]')


def jsonl_records(stream: BinaryIO) -> Iterator[SourceRecord | Rejected]:
    """Records of a JSONL stream, numbered by line; blank lines are skipped."""
    for line, original in jsonl_lines(stream):
        if isinstance(original, Rejected):
            yield original
            continue
        try:
            yield parse_record(line, original)
        except RecordUnusable as unusable:
            yield unusable.at(line)


def jsonl_lines(stream: BinaryIO, first: int = 1) -> Iterator[tuple[int, bytes | Rejected]]:
    """Lines of a JSONL stream with their numbers, from `first` on; blank lines are skipped, lines that are too long or
    have too many parts rejected.

    An original is the line without its line ending (and without the file's byte order mark).
    """
    limit = settings.integer("max_line_bytes")
    line, most = first - 1, longest_line()
    while content := stream.readline(most):
        line += 1
        if line == 1:
            content = content.removeprefix(codecs.BOM_UTF8)
        original = content.removesuffix(b"\n").removesuffix(b"\r")
        if len(original) > limit:
            skip_line(stream, content)
            yield line, RecordUnusable("line too long", f"more than {limit:,} bytes").at(line)
        elif original and not original.isspace():
            try:
                check_parts(original)
            except RecordUnusable as unusable:
                yield line, unusable.at(line)
            else:
                yield line, original


def longest_line() -> int:
    """Bytes of the longest line that is allowed, with its line ending and a byte order mark, and one more."""
    return settings.integer("max_line_bytes") + len(codecs.BOM_UTF8) + len(b"\r\n") + 1


def skip_line(stream: BinaryIO, content: bytes) -> None:
    """Read on to the end of a line that begins with `content`."""
    while content and not content.endswith(b"\n"):
        content = stream.readline(_CHUNK_BYTES)


def json_records(
    stream: BinaryIO, name: str = "the file", split: str | None = None
) -> Iterator[SourceRecord | Rejected]:
    """Records of a JSON stream (an array, one object, objects in sequence, or a layout of `json_layout`), numbered
    from 1. Raises `SourceUnreadable` if it has splits, but not the requested one."""
    return _JsonValues(stream).laid_out_records(name, split)


class _JsonValues:
    """A sliding window of text over a JSON stream, never much longer than the longest record allowed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # Bytes that are not UTF-8 become lone surrogates, so only the record with them is rejected.
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._text = ""
        self._at = 0
        self._ended = False
        self._in_array = False
        self._limit = settings.integer("max_line_bytes")
        self._most_parts = MOST_PARTS

    def laid_out_records(self, name: str, split: str | None) -> Iterator[SourceRecord | Rejected]:
        """The records, in any supported layout."""
        while len(self._text) - self._at < HEAD_CHARACTERS and self._read_on():
            pass
        self._pass_space()
        layout = layout_of(self._text[self._at :], name, split)
        if layout is None:
            yield from self.records()
            return
        try:
            if layout.kind == "columns":
                yield from self._rows_of_columns()
            else:
                yield from self._members(layout, name, split)
        except RecordUnusable as unusable:
            yield unusable.at(1)

    def _rows_of_columns(self) -> Iterator[SourceRecord | Rejected]:
        self._limit, self._most_parts = _LONGEST_TABLE, _MOST_TABLE_PARTS
        value, text = self._value()
        check_value(value, text)
        for number, fields in enumerate(rows_of_columns(value), 1):
            yield SourceRecord(number, as_json(fields), fields)

    def _members(self, layout: Layout, name: str, split: str | None) -> Iterator[SourceRecord | Rejected]:
        """The object's members as records, or the items of the list under the layout's key."""
        self._at += 1
        number = 0
        keys: list[str] = []
        while self._pass_space() and self._next() != "}":
            key, _ = self._value()
            keys.append(key)
            self._pass_space(_BEFORE_VALUE)
            if layout.kind == "list" and layout.is_at(key):
                yield from self.records(is_part=True, item=layout.item)
                return
            if layout.kind == "list":
                self._skip_value(None) if self._next() in ("[", "{") else self._value()
                continue
            number += 1
            try:
                yield self._record(number)
            except RecordUnusable as unusable:
                yield unusable.at(number)
        if layout.kind == "list":
            raise no_such_split(keys, name, split)

    def records(self, is_part: bool = False, item: str = "") -> Iterator[SourceRecord | Rejected]:
        """The records from here on, to the end of the array if `is_part`. `item` is the key of the record inside
        each."""
        self._pass_space()
        self._in_array = self._next() == "["
        self._at += self._in_array
        number = 0
        while self._pass_space():
            if self._in_array and self._next() == "]":
                self._at += 1
                if is_part or not self._pass_space():
                    return
                # More records may follow: after a bad record, the end of its inner list looks like the end of the
                # array.
                self._in_array = False
                number += 1
                yield RecordUnusable("bad JSON", "the file continues after the end of the array").at(number)
                continue
            number += 1
            try:
                record = self._record(number)
                yield _inner(record, item) if item else record
            except RecordUnusable as unusable:
                yield unusable.at(number)
        if self._in_array:
            yield RecordUnusable("bad JSON", "the file ends before the array does").at(number + 1)

    def _record(self, number: int) -> SourceRecord:
        try:
            value, text = self._value()
        except RecordUnusable as unusable:
            self._skip_value(self._indent() if unusable.reason == "bad JSON" else None)
            raise
        try:
            original = text.encode("utf-8")
        except UnicodeEncodeError as error:
            byte = ord(error.object[error.start]) - 0xDC00
            raise RecordUnusable("not UTF-8", f"character {error.start + 1} of the record is 0x{byte:02x}") from None
        if len(original) > self._limit:
            raise self._too_long()
        check_value(value, text)
        return as_record(number, value, text, original)

    def _value(self) -> tuple[Any, str]:
        """The value at the window's position and its own text; reads on until it is complete."""
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                # A value at the window's end may be incomplete: 12 is the beginning of 123.
                if end < len(self._text) or self._ended:
                    text = self._text[self._at : end]
                    check_parts(text, self._most_parts)
                    self._at = end
                    return value, text
            except RecursionError:
                raise too_deep() from None
            except ValueError as error:
                if self._ended or not self._may_be_incomplete(error):
                    raise bad_json(error, self._at) from None
            if len(self._text) - self._at > self._limit:
                raise self._too_long()
            check_parts(self._text[self._at :], self._most_parts)
            self._read_on()

    def _too_long(self) -> RecordUnusable:
        return RecordUnusable("line too long", f"more than {self._limit:,} bytes")

    def _may_be_incomplete(self, error: ValueError) -> bool:
        """Whether more text could fix the error: it is at the window's end, or in a string that reaches it."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 16

    def _skip_value(self, indent: str | None) -> None:
        """Skip an unusable value: move to its closing bracket, or to the line where the next record begins.

        `indent` is the white space before an invalid record: a later line with the same indent that opens an object is
        the next record. This is the only way to find it after a missing bracket or quote.
        """
        depth, in_string = 0, False
        while True:
            match = (_IN_STRING if in_string else _BETWEEN_STRINGS).search(self._text, self._at)
            if match is None:
                # A backslash at the window's end belongs to the next character.
                keep = 1 if in_string and self._text.endswith("\\") and self._at < len(self._text) else 0
                self._at = len(self._text) - keep
                if not self._read_on():
                    self._at = len(self._text)
                    return
                continue
            self._at = match.end()
            token = match[0]
            if token == "\n":
                in_string = False
                if indent is not None and self._starts_with(indent + "{"):
                    return
            elif token == '"':
                in_string = not in_string
            elif not in_string:
                depth += (token in "{[") - (token in "}]")
                if depth <= 0:
                    self._at -= self._in_array and token == "]" and depth < 0
                    return

    def _indent(self) -> str | None:
        before = self._text[self._text.rfind("\n", 0, self._at) + 1 : self._at]
        return before if before.strip() == "" else None

    def _starts_with(self, text: str) -> bool:
        while len(self._text) - self._at < len(text) and self._read_on():
            pass
        return self._text.startswith(text, self._at)

    def _pass_space(self, space: re.Pattern[str] = _SPACE) -> bool:
        """Skip white space and commas; False at the end of the stream."""
        while True:
            match = space.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return True
            if not self._read_on():
                return False

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _read_on(self) -> bool:
        """Drop the text before the current line and read more; False at the end of the stream."""
        # At least double the text, so that a long record is not parsed again for every chunk.
        content = self._stream.read(max(_CHUNK_BYTES, len(self._text) - self._at))
        line_start = self._text.rfind("\n", 0, self._at) + 1
        if self._at - line_start > _LONGEST_INDENT:
            line_start = self._at
        more = self._decode(content, not content)
        self._text = self._text[line_start:] + more
        self._at -= line_start
        self._ended = not content
        return bool(content or more)


def _inner(record: SourceRecord, item: str) -> SourceRecord:
    """The record under a key of another."""
    fields = record.fields.get(item)
    if not isinstance(fields, dict):
        raise RecordUnusable("not an object", f"no object under {item}")
    return SourceRecord(record.line, as_json(fields), fields)
