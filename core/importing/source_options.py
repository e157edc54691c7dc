"""User options for reading a file: its format, its column mapping, and the domain of its rows."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..data.errors import SourceUnreadable
from .formats import FIELD_NAMES, FORMATS, format_named

AUTO = "auto"
UNLABELLED = "unlabelled"


_KNOWN = {name.lower(): name for name in sorted(FIELD_NAMES, reverse=True)}


def known_name(name: str) -> str:
    """The field name that a column name matches (ignoring capitals, spaces, hyphens), else the column name itself."""
    return name if name in FIELD_NAMES else _KNOWN.get(re.sub(r"[\s-]+", "_", name.strip()).lower(), name)


@dataclass(frozen=True, slots=True)
class DomainRule:
    """Where a row's domain comes from: a field of its record, or one name for all rows, or the file's name."""

    name: str | None = None
    field: str | None = None

    def domain_of(self, record: Mapping[str, Any]) -> str:
        """Domain of a record (with original field names); "unlabelled" if there is none."""
        value = record.get(self.field) if self.field else None
        if value is not None and not isinstance(value, str):
            value = json.dumps(value, ensure_ascii=False)
        return (value or "").strip() or self.name or UNLABELLED


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a file.

    `columns` maps a field of the format to a column of the file ({"instruction": "q"}); "" means that the file has no
    such column, whatever its columns are called.
    """

    format: str = AUTO
    domain: DomainRule = DomainRule()
    columns: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [AUTO, *(source_format.name for source_format in FORMATS)]
        if self.format not in names:
            raise SourceUnreadable(f"Unknown format {self.format!r}. It must be one of {', '.join(names)}.")

    def to_fields(self) -> dict[str, Any]:
        """The options as JSON fields, for the store."""
        domain = {"name": self.domain.name, "field": self.domain.field}
        fields = {"format": self.format, "domain": domain, "columns": dict(self.columns)}
        more = {"split": self.split, "origin": dict(self.origin)}
        return fields | {name: value for name, value in more.items() if value}

    def remapped(self, fields: Mapping[str, Any], forgiving: bool = False) -> dict[str, Any]:
        """A record's fields, renamed to the format's field names.

        `forgiving` also matches names such as "Instruction" and "System Prompt", unless the record has a field with the
        exact name.
        """
        replaced = set(self.columns) | self._aliases()
        names = {name: known_name(name) if forgiving else name for name in fields}
        renamed = {
            name if meant in fields else meant: fields[name]
            for name, meant in names.items()
            if name not in replaced and meant not in replaced
        }
        renamed.update({name: fields[column] for name, column in self.columns.items() if column in fields})
        return renamed

    def _aliases(self) -> set[str]:
        """Other names of the mapped fields: a field mapped to nothing must not be read under an alias either."""
        source_format = format_named(self.format)
        fields = source_format.fields if source_format else ()
        mapped = (item for item in fields if any(name in self.columns for name in item.all_names))
        return {name for item in mapped for name in item.all_names}
