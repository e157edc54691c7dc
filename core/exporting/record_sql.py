"""SQL that takes records apart exactly, for those where DuckDB's JSON reads what was written and nothing else.

These are records of text, whole numbers, true, false and null, every field once, in an order that was seen before. All
others keep their way through `core.exporting.record_text`: DuckDB would print their decimals, lists and objects anew.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .record_text import FieldText

# No name whose path would mean something else to DuckDB.
_ORDINARY_NAME = re.compile(r'[^"\\*\x00-\x1f]+')
_MOST_SHAPES = 64
_MOST_DIGITS = 15
# Not BIGINT: -0 would come out as 0.
_TYPES = {"text": "VARCHAR", "null": "NULL", "boolean": "BOOLEAN", "integer": "UBIGINT"}

RecordShape = tuple[tuple[str, str], ...]
"""Names and kinds of a record's fields, as they stand in it."""


@dataclass(frozen=True, slots=True)
class PlainRecords:
    """Which records are taken apart by SQL: those of a shape in `shapes`, into the columns `names`.

    `taken_apart` makes of a record's `text` the columns `plain` (values as JSON text, by name), `keys` and, where not
    all values are text, `types`; `fits` says whether they hold the record.
    """

    names: tuple[str, ...]
    shapes: tuple[RecordShape, ...]

    @classmethod
    def of(cls, names: Sequence[str], shapes: Iterable[RecordShape]) -> "PlainRecords":
        """What can be taken apart of records of these shapes, whose fields are among `names`."""
        # DuckDB takes names of members that differ by case for the same.
        if not all(_ORDINARY_NAME.fullmatch(name) for name in names) or len({n.casefold() for n in names}) < len(names):
            return cls(tuple(names), ())
        plain = [shape for shape in dict.fromkeys(shapes) if _is_plain(shape)]
        return cls(tuple(names), tuple(plain[:_MOST_SHAPES]))

    @property
    def taken_apart(self) -> str:
        """SQL of the columns `plain`, `keys` and `types`, for the columns to come to be made of."""
        if not self.shapes:
            return "NULL AS plain"
        members = _text(json.dumps(dict.fromkeys(self.names, "JSON"), ensure_ascii=False))
        types = f", TRY(json_type(text, {_texts(_path(name) for name in self._mixed)})) AS types" if self._mixed else ""
        return f"TRY(json_transform(text, {members})) AS plain, TRY(json_keys(text)) AS keys{types}"

    @property
    def fits(self) -> str:
        """SQL that is true or false."""
        if not self.shapes:
            return "false"
        return f"coalesce({' OR '.join(self._has(shape) for shape in self.shapes)}, false)"

    def value(self, name: str) -> str:
        """SQL of a column's value as plain text; NULL for null and for what is not there."""
        if not self.shapes:
            return "NULL::VARCHAR"
        raw = _raw(name)
        other = f"""WHEN NOT starts_with({raw}, '"') THEN nullif({raw}, 'null')""" if name in self._mixed else ""
        # Taken apart once more only where something is escaped: elsewhere a text has no quotes but those around it.
        return f"""CASE WHEN contains({raw}, chr(92)) THEN json_extract_string({raw}, '$') {other}
            ELSE replace({raw}, '"', '') END"""

    def quoted(self, name: str) -> str:
        """SQL of the value as plain text in quotes, as CSV has it: what JSON escapes nothing in is the same there."""
        raw = _raw(name)
        text = f"""WHEN contains({raw}, chr(92))
            THEN '"' || replace(json_extract_string({raw}, '$'), '"', '""') || '"'"""
        if name not in self._mixed:
            return f"""CASE {text} ELSE coalesce({raw}, '""') END"""
        return f"""CASE {text} WHEN starts_with({raw}, '"') THEN {raw}
            ELSE '"' || coalesce(nullif({raw}, 'null'), '') || '"' END"""

    @property
    def _mixed(self) -> list[str]:
        """Names of fields that do not always hold text."""
        kinds = {(name, kind) for shape in self.shapes for name, kind in shape}
        return [name for name in self.names if any((name, kind) in kinds for kind in _TYPES if kind != "text")]

    def _has(self, shape: RecordShape) -> str:
        types = {name: _TYPES[kind] for name, kind in shape}
        wanted = [f"keys = {_texts(name for name, _ in shape)}"]
        wanted += [f"""starts_with({_raw(name)}, '"')""" for name, _ in shape if name not in self._mixed]
        if self._mixed:
            found = ", ".join(_text(types[name]) if name in types else "NULL" for name in self._mixed)
            wanted.append(f"types = [{found}]")
        # So short that a double holds it too, whichever of the two the column is.
        wanted += [f"strlen({_raw(name)}) <= {_MOST_DIGITS}" for name, kind in shape if kind == "integer"]
        return f"({' AND '.join(wanted)})"


def record_shape(fields: Sequence[tuple[str, FieldText]]) -> RecordShape:
    """The shape of a record's fields."""
    return tuple((name, field.kind) for name, field in fields)


def _is_plain(shape: RecordShape) -> bool:
    return bool(shape) and len(dict(shape)) == len(shape) and all(kind in _TYPES for _, kind in shape)


def _raw(name: str) -> str:
    """SQL of a value as JSON text."""
    return f'CAST(plain."{name}" AS VARCHAR)'


def _path(name: str) -> str:
    return f'$."{name}"'


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
