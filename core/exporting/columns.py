"""The columns of a tabular export: every field that a record has, and whether typed numbers would lose nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ..data.errors import ExportFailed
from .record_sql import PlainRecords, RecordShape, record_shape
from .record_text import FieldText, fits_double, fits_integer, name_taken, record_fields
from .score_text import score_types
from .selected_chunks import FIRST_ROWS, SelectedRows


class UnseenField(ExportFailed):
    """A record has a field that the survey has not seen, or a value that its column's type does not hold."""

    def __init__(self) -> None:
        super().__init__("The dataset was changed while it was exported. Export again.")


@dataclass(slots=True)
class Column:
    """What a field holds over all rows: the kinds seen, and whether typed numbers would lose nothing."""

    name: str
    kinds: set[str]
    integers: bool = True
    doubles: bool = True

    def add(self, value: FieldText) -> None:
        """Take one more value into account."""
        self.kinds.add(value.kind)
        if value.kind in ("integer", "decimal"):
            self.integers = self.integers and value.kind == "integer" and fits_integer(value.raw)
            self.doubles = self.doubles and fits_double(value.raw)

    @property
    def type(self) -> Any:
        """The Arrow type that holds every value exactly; text where none does."""
        kinds = self.kinds - {"null"}
        if kinds == {"boolean"}:
            return pa.bool_()
        if kinds and kinds <= {"integer", "decimal"}:
            return pa.int64() if self.integers else pa.float64() if self.doubles else pa.string()
        return pa.string()


@dataclass(slots=True)
class Survey:
    """The union of records' fields, in the order in which they first appear, and the shapes that records have.
    `scores`: names of those that are to be added; none: no column is."""

    scores: tuple[str, ...]
    fields: dict[str, Column] = field(default_factory=dict)
    shapes: dict[RecordShape, None] = field(default_factory=dict)

    @property
    def columns(self) -> list[Column]:
        """The columns, one a field."""
        return list(self.fields.values())

    @property
    def plain(self) -> PlainRecords:
        """What of such records SQL can take apart."""
        return PlainRecords.of(list(self.fields), self.shapes)

    def add(self, original: bytes) -> None:
        """Take one more record into account. Raises `ExportFailed` if a field has the name of a score column that is
        to be added."""
        fields = list(record_fields(original))
        for name, value in fields:
            if name not in self.fields:
                if self.scores and name in score_types(self.scores):
                    raise name_taken(name)
                self.fields[name] = Column(name, set())
            self.fields[name].add(value)
        self.shapes[record_shape(fields)] = None


def sampled(rows: SelectedRows, with_scores: bool) -> Survey:
    """A survey of the first rows: mostly all there is to know, and the rest tells itself by `UnseenField`."""
    found = Survey(rows.scores if with_scores else ())
    _add(found, rows.first(FIRST_ROWS), PlainRecords((), ()))
    return found


def surveyed(rows: SelectedRows, known: Survey) -> Survey:
    """A survey of all rows, going on from that of the first: records of its shapes have nothing new."""
    found = Survey(known.scores, dict(known.fields), dict(known.shapes))
    _add(found, rows, known.plain)
    return found


def known_fields(original: bytes, columns: Sequence[Column]) -> dict[str, FieldText]:
    """A record's fields by name. Raises `UnseenField` for one that is no column."""
    fields = dict(record_fields(original))
    if fields.keys() - {column.name for column in columns}:
        raise UnseenField
    return fields


def _add(found: Survey, rows: SelectedRows, plain: PlainRecords) -> None:
    original = "CASE WHEN NOT fits THEN original END AS original"
    for chunk in rows.chunks(original, plain.taken_apart, f"{plain.fits} AS fits"):
        for value in chunk["original"].drop_null().to_pylist():
            found.add(value)
