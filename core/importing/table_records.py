"""Reads CSV and Parquet rows; the original of a row is a JSON object of its fields.

CSV fields are kept exactly, line breaks in them included. JSON has no word for some Parquet values: dates, times
and decimals become their text (ISO 8601), bytes their UTF-8 text or else Base64, maps lists of pairs, and numbers
that are not finite become null.
"""

import base64
import codecs
import csv
import json
import math
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from core import settings
from core.errors import SourceUnreadable
from core.examples import Rejected
from core.importing.json_parsing import depth_of
from core.importing.records import RecordUnusable, SourceRecord, plain_text
from core.importing.unpacking import compression_of, open_unpacked

_PARQUET_BATCH_ROWS = 1_000
_COPY_BYTES = 2**20
_LONE_CR = "\udc0d"
# Stands in for a carriage return that is data while csv, which would take it for a line's end, splits the row.
# No text decodes to it: surrogateescape yields U+DC80 to U+DCFF only.


def csv_records(stream: BinaryIO, name: str) -> Iterator[SourceRecord | Rejected]:
    """Rows of a CSV stream under its header, numbered from 1; the header says which of comma, tab and semicolon
    separates fields. Blank lines are passed over.

    Raises `SourceUnreadable` if the header cannot be used.
    """
    lines = _CsvLines(stream, settings.integer("max_line_bytes"))
    header, delimiter = _csv_header(lines, name)
    number = 1
    while (row := lines.next_row(delimiter)) is not None:
        if row == []:
            continue
        try:
            yield _csv_record(number, header, row)
        except RecordUnusable as unusable:
            yield unusable.at(number)
        number += 1


def csv_header(line: str) -> tuple[list[str], str]:
    """Field names in a CSV's first line, and the character that separates them.

    Raises `csv.Error` if its quotes are not CSV.
    """
    delimiter = max(",\t;", key=line.count)
    return next(csv.reader([line], delimiter=delimiter, strict=True), []), delimiter


def _csv_header(lines: "_CsvLines", name: str) -> tuple[list[str], str]:
    try:
        header, delimiter = csv_header(next(lines, "").rstrip("\r\n"))
    except (csv.Error, RecordUnusable):
        raise SourceUnreadable(
            f"The first line of {name} is no CSV header. Give the file a first line with the names of its fields."
        ) from None
    repeated = {field for field in header if header.count(field) > 1}
    if _LONE_CR in "".join(header):
        raise SourceUnreadable(f"The lines of {name} end in CR alone. Save the file with LF or CRLF line ends.")
    if repeated:
        raise SourceUnreadable(
            f"{name} has more than one field named {plain_text(min(repeated), 40)!r}. Rename all but one."
        )
    return header, delimiter


def _csv_record(number: int, header: list[str], row: list[str] | RecordUnusable) -> SourceRecord:
    if isinstance(row, RecordUnusable):
        raise row
    if len(row) != len(header):
        raise RecordUnusable("wrong number of fields", f"{len(row)} fields; the header has {len(header)}")
    fields = dict(zip(header, row, strict=True))
    return SourceRecord(number, _as_json(fields), fields)


def _as_json(fields: dict[str, Any]) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        byte = ord(error.object[error.start]) - 0xDC00
        raise RecordUnusable("not UTF-8", f"found byte 0x{byte:02x}") from None


class _CsvLines:
    """Lines of a CSV stream, as csv.reader draws them, with those of a row that failed given back."""

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

    def next_row(self, delimiter: str) -> list[str] | RecordUnusable | None:
        """Fields of the next row, none for a blank line, None at the end; or why the row cannot be read.

        After a row whose quotes do not close, or that is too long, reading goes on with the line after its first.
        """
        self._row_lines, self._row_size = [], 0
        try:
            row = next(csv.reader(self, delimiter=delimiter, strict=True), None)
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


def parquet_records(path: Path) -> Iterator[SourceRecord | Rejected]:
    """Rows of a Parquet file, numbered from 1, batch by batch.

    Raises `SourceUnreadable` if it is no Parquet file or unpacks to more than the setting max_unpacked_bytes.
    """
    with _seekable(path) as file:
        try:
            parquet = pq.ParquetFile(file)
            _check_parquet(parquet, path.name)
            number = 1
            for batch in parquet.iter_batches(batch_size=_PARQUET_BATCH_ROWS):
                yield from _parquet_records(batch, number)
                number += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            if "too deeply nested" in str(error):
                raise SourceUnreadable(
                    f"{path.name} has columns nested deeper than can be read. Leave them out, or save them as text."
                ) from error
            raise SourceUnreadable(
                f"{path.name} is not a whole Parquet file ({plain_text(str(error), 100)}). Fetch it again."
            ) from error


@contextmanager
def _seekable(path: Path) -> Iterator[Any]:
    """The file, or where it is packed its unpacked copy on disk: Parquet is read from its end."""
    if not compression_of(path):
        with open(path, "rb") as file:
            yield file
        return
    with open_unpacked(path) as stream, tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked, _COPY_BYTES)
        unpacked.seek(0)
        yield unpacked


def _check_parquet(parquet: Any, name: str) -> None:
    metadata = parquet.metadata
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > settings.integer("max_unpacked_bytes"):
        raise SourceUnreadable(
            f"{name} unpacks to {size:,} bytes. If it is to be trusted, raise LOBASS_MAX_UNPACKED_BYTES."
        )
    names = parquet.schema_arrow.names
    if len(set(names)) < len(names):
        raise SourceUnreadable(f"{name} has two columns of one name. Give each column a name of its own.")


def _parquet_records(batch: Any, first: int) -> Iterator[SourceRecord | Rejected]:
    try:
        rows: list[dict[str, Any] | None] = batch.to_pylist()
    except ValueError:
        # One text that is not UTF-8 fails the whole batch, so its rows are read one by one.
        rows = [_parquet_row(batch.slice(i, 1)) for i in range(batch.num_rows)]
    limit, depth = settings.integer("max_line_bytes"), settings.integer("max_json_depth")
    for number, row in enumerate(rows, first):
        try:
            if row is None:
                raise RecordUnusable("not UTF-8")
            if depth_of(row) > depth:
                raise RecordUnusable("nested too deep", f"more than {depth} levels")
            fields = json_value(row)
            original = _as_json(fields)
            if len(original) > limit:
                raise RecordUnusable("line too long", f"more than {limit:,} bytes")
            yield SourceRecord(number, original, fields)
        except RecordUnusable as unusable:
            yield unusable.at(number)


def _parquet_row(row: Any) -> dict[str, Any] | None:
    try:
        return dict(row.to_pylist()[0])
    except ValueError:
        return None


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
