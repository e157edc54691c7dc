"""The file formats of an export, and how each writes a record and its scores."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..data.errors import ExportFailed
from .columns import Column, UnseenField, known_fields
from .record_text import FieldText, with_field
from .score_text import SCORES_FIELD, score_types

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Characters that a spreadsheet reads as the start of a formula. Source: OWASP, CSV Injection."""

INNER_FORMULA = r"""([;\t\r\n])(["']*[=+\-@＝＋－＠])"""
"""Where in a cell a formula begins for programs that separate by `;` or tab: for them a cell's quotes, which stand in
the middle of theirs, hold nothing together. As RE2 and Python read it."""
_INNER_FORMULA = re.compile(INNER_FORMULA)


@dataclass(frozen=True, slots=True)
class Format:
    """A file format; its name is its suffix. A `tabular` format needs to know all columns before writing."""

    name: str
    label: str
    tabular: bool
    compressible: bool = True


EXPORT_FORMATS = {
    format.name: format
    for format in (
        Format("jsonl", "JSON Lines: one record per line, byte for byte as imported", False),
        Format("json", "JSON: one array of records", False),
        Format("csv", "CSV: one column per field, nested values as JSON text", True),
        Format("parquet", "Parquet: one column per field, nested values as JSON text", True, compressible=False),
    )
}


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One record to export: its original bytes, and its scores (empty if not exported)."""

    original: bytes
    scores: dict[str, Any]

    def with_scores(self) -> bytes:
        """The record, with its scores as one object if there are any."""
        return with_field(self.original, SCORES_FIELD, self.scores) if self.scores else self.original


def format_for(destination: Path, name: str | None) -> tuple[Format, bool]:
    """The format (given, or from the suffix) and whether to compress (`.gz`). Raises `ExportFailed`."""
    compress = destination.suffix.lower() == ".gz"
    suffix = (destination.with_suffix("") if compress else destination).suffix.lower().removeprefix(".")
    chosen = name or suffix
    if chosen not in EXPORT_FORMATS:
        found = f"format {name!r}" if name else f"file name {destination.name!r}, whose suffix is not a known format"
        raise ExportFailed(f"Cannot export to {found}. Must be one of: {', '.join(EXPORT_FORMATS)}.")
    if compress and not EXPORT_FORMATS[chosen].compressible:
        raise ExportFailed(f"{chosen} files are already compressed. Remove .gz from {destination.name!r}.")
    return EXPORT_FORMATS[chosen], compress


def csv_names(columns: Sequence[Column], scores: Sequence[str], guard: bool) -> bytes:
    """The header line of a CSV file with these scores, if any."""
    names = [*(column.name for column in columns), *(score_types(scores) if scores else ())]
    return _csv_line(guarded(name) if guard else name for name in names)


def csv_line(row: ExportRow, columns: Sequence[Column], guard: bool) -> bytes:
    """One record as CSV, every cell quoted. Raises `UnseenField`."""
    fields = known_fields(row.original, columns)
    cells = [_csv_cell(fields.get(column.name), guard) for column in columns]
    return _csv_line([*cells, *(_score_cell(value, guard) for value in row.scores.values())])


def typed_fields(row: ExportRow, columns: Sequence[Column], types: Sequence[Any]) -> dict[str, Any]:
    """One record's values and scores by column. Raises `UnseenField`, also if a value would change a column's type."""
    fields = known_fields(row.original, columns)
    for column, kind in zip(columns, types, strict=True):
        if column.name in fields:
            column.add(fields[column.name])
            if column.type != kind:
                raise UnseenField
    values = {column.name: _typed(fields.get(column.name), kind) for column, kind in zip(columns, types, strict=True)}
    return values | {f"{SCORES_FIELD}_{name}": value for name, value in row.scores.items()}


def guarded(text: str) -> str:
    """Puts `'` before each formula-like beginning in a text, so that no spreadsheet runs it; reversible.

    These are the text's own, and those after `;`, tab or a line break (`INNER_FORMULA`), with or without quotes and
    apostrophes before them. To restore a text, one apostrophe is removed from each of these places that has one.
    """
    inner = guarded_within(text)
    return f"'{inner}" if text.lstrip("'\"").startswith(FORMULA_STARTS) else inner


def guarded_within(text: str) -> str:
    """The same without the text's own beginning, for what begins with no text: numbers, and lists and objects as
    JSON."""
    return _INNER_FORMULA.sub(r"\1'\2", text)


def _typed(field: FieldText | None, kind: Any) -> Any:
    if field is None or field.kind == "null":
        return None
    readers: dict[Any, Callable[[str], Any]] = {
        pa.bool_(): lambda raw: raw == "true",
        pa.int64(): int,
        pa.float64(): float,
    }
    read = readers.get(kind)
    return read(field.raw) if read else field.plain


def _csv_cell(field: FieldText | None, guard: bool) -> str:
    if field is None:
        return ""
    if not guard:
        return field.plain
    return guarded(field.plain) if field.kind == "text" else guarded_within(field.plain)


def _score_cell(value: Any, guard: bool) -> str:
    if isinstance(value, str):
        return guarded(value) if guard else value
    return "" if value is None else json.dumps(value)


def _csv_line(cells: Iterable[str]) -> bytes:
    return (",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n").encode()
