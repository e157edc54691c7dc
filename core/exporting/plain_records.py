"""SQL that takes records apart exactly, for those where DuckDB's JSON reads what was written and nothing else.

These are records of text, whole numbers, true, false and null, every field once, in an order that was seen before. All
others keep their way through `core.exporting.record_text`: DuckDB would print their decimals, lists and objects anew.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.exporting.record_text import FieldText

# No name whose path would mean something else to DuckDB.
_ORDINARY_NAME = re.compile(r'[^"\\*\x00-\x1f]+')
_MOST_SHAPES = 64
_MOST_DIGITS = 15
# Not BIGINT: -0 would come out as 0.
_TYPES = {"text": "VARCHAR", "null": "NULL", "boolean": "BOOLEAN", "integer": "UBIGINT"}

Shape = tuple[tuple[str, str], ...]
"""Names and kinds of a record's fields, as they stand in it."""


@dataclass(frozen=True, slots=True)
class PlainRecords:
    """Which records are taken apart by SQL: those of a shape in `shapes`, into the columns `names`.

    `taken_apart` makes of a record's `text` the lists `plain` (values as text, NULL where there is none) and `types`;
    `fits` says whether they hold the record.
    """

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]

    @classmethod
    def of(cls, names: Sequence[str], shapes: Iterable[Shape]) -> "PlainRecords":
        """What can be taken apart of records of these shapes, whose fields are among `names`."""
        if not all(_ORDINARY_NAME.fullmatch(name) for name in names):
            return cls(tuple(names), ())
        plain = [shape for shape in dict.fromkeys(shapes) if _is_plain(shape)]
        return cls(tuple(names), tuple(plain[:_MOST_SHAPES]))

    @property
    def taken_apart(self) -> str:
        """SQL of the columns `plain`, `types` and `keys`, for the columns to come to be made of."""
        if not self.shapes:
            return "NULL::VARCHAR[] AS plain"
        paths = _texts(f'$."{name}"' for name in self.names)
        return (
            f"TRY(json_extract_string(text, {paths})) AS plain, TRY(json_type(text, {paths})) AS types, "
            "TRY(json_keys(text)) AS keys"
        )

    @property
    def fits(self) -> str:
        """SQL that is true or false."""
        if not self.shapes:
            return "false"
        return f"coalesce({' OR '.join(self._has(shape) for shape in self.shapes)}, false)"

    def value(self, name: str) -> str:
        """SQL of a column's value as plain text; NULL for null and for what is not there."""
        return f"plain[{self.names.index(name) + 1}]"

    def _has(self, shape: Shape) -> str:
        types = {name: _TYPES[kind] for name, kind in shape}
        wanted = ", ".join(_text(types[name]) if name in types else "NULL" for name in self.names)
        found = f"keys = {_texts(name for name, _ in shape)} AND types = [{wanted}]"
        # So short that a double holds it too, whichever of the two the column is.
        short = " AND ".join(
            f"strlen({self.value(name)}) <= {_MOST_DIGITS}" for name, kind in shape if kind == "integer"
        )
        return f"({found} AND {short})" if short else f"({found})"


def shape_of(fields: Sequence[tuple[str, FieldText]]) -> Shape:
    """The shape of a record's fields."""
    return tuple((name, field.kind) for name, field in fields)


def _is_plain(shape: Shape) -> bool:
    return bool(shape) and len(dict(shape)) == len(shape) and all(kind in _TYPES for _, kind in shape)


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
