"""Reads CSV rows with exact field values, line breaks included; a row's original is a JSON object of its fields."""

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..data import settings
from ..data.errors import SourceUnreadable
from ..data.examples import Rejected
from .records import RecordUnusable, SourceRecord, plain_text
from .table_json import as_json

_COPY_BYTES = 2**20
_LONE_CR = "\udc0d"
# Replaces carriage returns inside fields while the csv module splits the row: csv would take them as line ends.
# No text decodes to it: surrogateescape yields U+DC80 to U+DCFF only.


def csv_records(stream: BinaryIO, name: str) -> Iterator[SourceRecord | Rejected]:
    """Rows of a CSV stream below its header, numbered from 1. Blank lines are skipped.

    The delimiter (comma, tab, semicolon or bar) comes from the header, or from a line `sep=;` before it.

    Raises `SourceUnreadable` if the header cannot be used.
    """
    lines = _CsvLines(stream, settings.integer("max_line_bytes"))
    header, dialect = _csv_header(lines, name)
    number = 1
    while (row := lines.next_row(dialect)) is not None:
        if row == []:
            continue
        try:
            yield _csv_record(number, header, row)
        except RecordUnusable as unusable:
            yield unusable.at(number)
        number += 1


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """A CSV's delimiter, and whether spaces after it are ignored."""

    delimiter: str
    skips_spaces: bool = False

    def reader(self, lines: Iterable[str]) -> Any:
        """A row reader that raises `csv.Error` for invalid CSV."""
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.skips_spaces, strict=True)


def csv_header(line: str, delimiter: str = "") -> tuple[list[str], CsvDialect]:
    """Field names in a CSV's first line, stripped of spaces, and its dialect.

    Raises `csv.Error` if its quoting is invalid.
    """
    delimiter = delimiter or max(",\t;|", key=line.count)
    # A header "a, b, c" means that rows are written like this too, and no field begins with a space.
    spaced = line.count(delimiter) > 0 and line.count(delimiter) == line.count(delimiter + " ")
    dialect = CsvDialect(delimiter, skips_spaces=spaced)
    return [name.strip() for name in next(dialect.reader([line]), [])], dialect


def stated_delimiter(line: str) -> str:
    """The delimiter given by a first line `sep=;` (written by spreadsheets), else ""."""
    stated = re.fullmatch(r"\"?sep=(.)\"?\s*", line, re.IGNORECASE)
    return stated[1] if stated else ""


def _csv_header(lines: "_CsvLines", name: str) -> tuple[list[str], CsvDialect]:
    try:
        line = next(lines, "").rstrip("\r\n")
        delimiter = stated_delimiter(line)
        header, dialect = csv_header(next(lines, "").rstrip("\r\n") if delimiter else line, delimiter)
    except (csv.Error, RecordUnusable):
        raise SourceUnreadable(
            f"The first line of {name} is not a CSV header. Add a first line with the field names."
        ) from None
    repeated = {field for field in header if header.count(field) > 1}
    if _LONE_CR in "".join(header):
        raise SourceUnreadable(f"The lines of {name} end with CR only. Save the file with LF or CRLF line endings.")
    if repeated:
        raise SourceUnreadable(
            f"{name} has more than one field named {plain_text(min(repeated), 40)!r}. Rename all but one."
        )
    return header, dialect


def _csv_record(number: int, header: list[str], row: list[str] | RecordUnusable) -> SourceRecord:
    if isinstance(row, RecordUnusable):
        raise row
    if len(row) != len(header):
        raise RecordUnusable("wrong number of fields", f"{len(row)} fields; the header has {len(header)}")
    fields = dict(zip(header, row, strict=True))
    return SourceRecord(number, as_json(fields), fields)


class _CsvLines:
    """Lines of a CSV stream for csv.reader; the lines of a row that failed are pushed back."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._given_back: deque[str] = deque()
        self._row_lines: list[str] = []
        self._row_size = 0
        self._at_start = True
        csv.field_size_limit(limit)

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else self._read_line()
        if not line:
            raise StopIteration
        self._row_lines.append(line)
        self._row_size += len(line)
        if self._row_size > self._limit:
            raise RecordUnusable("line too long", f"more than {self._limit:,} characters")
        return line

    def next_row(self, dialect: CsvDialect) -> list[str] | RecordUnusable | None:
        """Fields of the next row ([] for a blank line, None at the end), or why the row cannot be read.

        After a row with unclosed quotes, or one that is too long, reading continues with the line after its first.
        """
        self._row_lines, self._row_size = [], 0
        try:
            row = next(dialect.reader(self), None)
        except (csv.Error, RecordUnusable) as error:
            self._given_back.extendleft(reversed(self._row_lines[1:]))
            return error if isinstance(error, RecordUnusable) else RecordUnusable("bad CSV", str(error))
        if row and any(_LONE_CR in line for line in self._row_lines):
            return [field.replace(_LONE_CR, "\r") for field in row]
        return row

    def _read_line(self) -> str:
        content = self._stream.readline(self._limit + 2)
        if self._at_start:
            content = content.removeprefix(codecs.BOM_UTF8)
            self._at_start = False
        rest = content
        while len(content) > self._limit and rest and not rest.endswith(b"\n"):
            rest = self._stream.readline(_COPY_BYTES)
        text = content.decode("utf-8", "surrogateescape")
        if "\r" not in text:
            return text
        end = "\r\n" if text.endswith("\r\n") else ""
        return text[: len(text) - len(end)].replace("\r", _LONE_CR) + end
