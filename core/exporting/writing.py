"""The file formats of an export: original records, and their scores where asked for, as bytes of each format."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import ExportFailed
from core.exporting.record_text import FieldText, fits_double, fits_integer, on_one_line, record_fields, with_field

SCORES_FIELD = "lobass"
"""Name of the object that scores are added under, and beginning of the columns' names."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_ROW_GROUP_ROWS = 10_000
_ROW_GROUP_BYTES = 2**25


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: its name is its suffix. A `tabular` one has columns, so it has to know all of them first."""

    name: str
    label: str
    tabular: bool
    compressible: bool = True


FORMATS = {
    format.name: format
    for format in (
        Format("jsonl", "JSON Lines: one record a line, byte for byte as it was", False),
        Format("json", "JSON: one array of the records", False),
        Format("csv", "CSV: a column for every field, nested values as JSON text", True),
        Format("parquet", "Parquet: a column for every field, nested values as JSON text", True, compressible=False),
    )
}


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One record on its way out: its original bytes, and its scores (empty where they are not exported)."""

    original: bytes
    scores: dict[str, Any]

    def with_scores(self) -> bytes:
        """The record, with its scores as one object where there are any."""
        return with_field(self.original, SCORES_FIELD, self.scores) if self.scores else self.original


@dataclass(slots=True)
class Column:
    """What a field holds over all rows: the kinds seen, and whether typed numbers would lose nothing."""

    name: str
    kinds: set[str]
    integers: bool = True
    doubles: bool = True

    def add(self, field: FieldText) -> None:
        """Take one more value into account."""
        self.kinds.add(field.kind)
        if field.kind in ("integer", "decimal"):
            self.integers = self.integers and field.kind == "integer" and fits_integer(field.raw)
            self.doubles = self.doubles and fits_double(field.raw)

    @property
    def type(self) -> Any:
        """The Arrow type that holds every value exactly; text where none does."""
        kinds = self.kinds - {"null"}
        if kinds == {"boolean"}:
            return pa.bool_()
        if kinds and kinds <= {"integer", "decimal"}:
            return pa.int64() if self.integers else pa.float64() if self.doubles else pa.string()
        return pa.string()


def format_for(destination: Path, name: str | None) -> tuple[Format, bool]:
    """The format to write, given or told by the suffix, and whether to compress (`.gz`). Raises `ExportFailed`."""
    compress = destination.suffix.lower() == ".gz"
    suffix = (destination.with_suffix("") if compress else destination).suffix.lower().removeprefix(".")
    chosen = name or suffix
    if chosen not in FORMATS:
        found = f"format {name!r}" if name else f"file name {destination.name!r}, which tells no format"
        raise ExportFailed(f"Cannot export to {found}. Must be one of: {', '.join(FORMATS)}.")
    if compress and not FORMATS[chosen].compressible:
        raise ExportFailed(f"{chosen} is compressed already. Leave .gz out of {destination.name!r}.")
    return FORMATS[chosen], compress


def survey_columns(rows: Iterable[ExportRow]) -> list[Column]:
    """The union of all records' fields, in the order in which they first appear.

    Raises `ExportFailed` if a field has the name of a score column that is to be added.
    """
    columns: dict[str, Column] = {}
    for row in rows:
        for name, field in record_fields(row.original):
            if name not in columns:
                columns[name] = Column(name, set())
                if row.scores and name in score_columns(row.scores):
                    raise ExportFailed(
                        f"A record already has a field named {name!r}, which the scores would replace. "
                        "Export without scores, or rename the field."
                    )
            columns[name].add(field)
    return list(columns.values())


def score_columns(scores: dict[str, Any]) -> dict[str, Any]:
    """Scores by the names of their columns."""
    return {f"{SCORES_FIELD}_{name}": value for name, value in scores.items()}


def jsonl_parts(rows: Iterable[ExportRow]) -> Iterator[bytes]:
    """JSON Lines: a record that stood on one line stays as it was, byte for byte."""
    for row in rows:
        yield on_one_line(row.with_scores()) + b"\n"


def json_parts(rows: Iterable[ExportRow]) -> Iterator[bytes]:
    """One JSON array of the records' own texts."""
    before = b"[\n"
    for row in rows:
        yield before + row.with_scores()
        before = b",\n"
    yield b"\n]\n"


def csv_parts(rows: Iterable[ExportRow], columns: list[Column], guard: bool) -> Iterator[bytes]:
    """CSV with every cell quoted: readers disagree on a lone carriage return outside quotes.

    With `guard`, an apostrophe stands before text that a spreadsheet would run as a formula.
    """
    header: list[str] | None = None
    for row in rows:
        scores = score_columns(row.scores)
        if header is None:
            header = [*(column.name for column in columns), *scores]
            yield _csv_line(_guarded(name) if guard else name for name in header)
        fields = known_fields(row, columns)
        cells = [_csv_cell(fields.get(column.name), guard) for column in columns]
        yield _csv_line([*cells, *(_score_cell(value, guard) for value in scores.values())])


def write_parquet(sink: Any, rows: Iterable[ExportRow], columns: list[Column]) -> None:
    """Parquet, in row groups of bounded size."""
    writer: Any = None
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        schema = writer.schema if writer else _parquet_schema(columns, row.scores)
        writer = writer or pq.ParquetWriter(sink, schema)
        fields = known_fields(row, columns)
        group.append(
            {column.name: _typed(fields.get(column.name), column) for column in columns} | score_columns(row.scores)
        )
        size += len(row.original)
        if len(group) >= _ROW_GROUP_ROWS or size >= _ROW_GROUP_BYTES:
            writer.write_table(pa.Table.from_pylist(group, schema))
            group, size = [], 0
    if group:
        writer.write_table(pa.Table.from_pylist(group, schema))
    if writer:
        writer.close()


def known_fields(row: ExportRow, columns: list[Column]) -> dict[str, FieldText]:
    """A record's fields by name. Raises `ExportFailed` for one that the survey has not seen."""
    fields = dict(record_fields(row.original))
    unseen = fields.keys() - {column.name for column in columns}
    if unseen:
        raise ExportFailed("The dataset was changed while it was exported. Export again.")
    return fields


def _parquet_schema(columns: list[Column], scores: dict[str, Any]) -> Any:
    types: dict[str, Any] = {"domain": pa.string(), "flags": pa.list_(pa.string())}
    types |= {"token_count": pa.int64(), "rank": pa.int64()}
    fields = [(column.name, column.type) for column in columns]
    return pa.schema([*fields, *((f"{SCORES_FIELD}_{name}", types.get(name, pa.float64())) for name in scores)])


def _typed(field: FieldText | None, column: Column) -> Any:
    if field is None or field.kind == "null":
        return None
    readers: dict[Any, Callable[[str], Any]] = {
        pa.bool_(): lambda raw: raw == "true",
        pa.int64(): int,
        pa.float64(): float,
    }
    read = readers.get(column.type)
    return read(field.raw) if read else field.plain


def _csv_cell(field: FieldText | None, guard: bool) -> str:
    if field is None:
        return ""
    return _guarded(field.plain) if guard and field.kind == "text" else field.plain


def _score_cell(value: Any, guard: bool) -> str:
    if isinstance(value, str):
        return _guarded(value) if guard else value
    return "" if value is None else json.dumps(value)


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _csv_line(cells: Iterable[str]) -> bytes:
    return (",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n").encode()
