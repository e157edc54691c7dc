"""A format's fields, their names, and their values in one record."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..data.examples import Message, Rejected
from .records import SourceRecord

Fields = Mapping[str, Any]
Records = Iterator[SourceRecord | Rejected]


@dataclass(frozen=True, slots=True)
class FormatField:
    """A field of a format: its names (the first is the main one), and whether it is required.

    `also` are fallback names, used if none of `names` is present. In detection, a format that fits by its own `names`
    wins over one that needs `also`.
    """

    names: tuple[str, ...]
    required: bool = True
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its main name, to which another column can be mapped."""
        return self.names[0]

    @property
    def all_names(self) -> tuple[str, ...]:
        """All its names; the first one that a record has is used."""
        return self.names + self.also

    def found_in(self, fields: Fields) -> str:
        """Its name in a record: the first with a value, else the first present, else ""."""
        present = [name for name in self.all_names if name in fields]
        return next((name for name in present if fields[name] is not None), present[0] if present else "")

    def value(self, fields: Fields) -> Any:
        """Its value in a record, or None."""
        name = self.found_in(fields)
        return fields[name] if name else None

    def is_in(self, fields: Fields) -> bool:
        """Whether a record has it, even if empty."""
        return any(name in fields for name in self.all_names)

    def is_in_by_own_name(self, fields: Fields) -> bool:
        """Whether a record has it under one of `names`."""
        return any(name in fields for name in self.names)


@dataclass(frozen=True, slots=True)
class RecordValues:
    """The values of a format's fields in one record, by the fields' main names; `fields` are all fields of the record.

    `notices` collects warnings about rows that are kept: each completes the sentence "this row has ...".
    """

    values: Mapping[str, Any]
    fields: Fields
    notices: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A format: its name, a summary, its fields, and how a record's values become a conversation.

    `holds` checks a record's values where names are not enough: a text is a conversation only if it has chat markup.
    `join` merges records of a file that are parts of the same conversation. `sides` gives the chosen and the rejected
    conversation of a preference pair, of which `messages` is the chosen one; such a format is never detected for
    records that another one fits.
    """

    name: str
    summary: str
    fields: tuple[FormatField, ...]
    messages: Callable[[RecordValues], list[Message]]
    holds: Callable[[Fields], bool] | None = None
    join: Callable[[Records], Records] | None = None
    sides: Callable[[RecordValues], tuple[list[Message], list[Message]]] | None = None

    @property
    def required(self) -> tuple[FormatField, ...]:
        """Fields that a record must have."""
        return tuple(item for item in self.fields if item.required)

    def has_fields(self, names: Fields) -> bool:
        """Whether every required field is present, whatever its value."""
        return all(item.is_in(names) for item in self.required)

    def fits(self, fields: Fields) -> bool:
        """Whether a record has every required field, and values that suit the format."""
        return self.has_fields(fields) and (self.holds is None or self.holds(fields))

    def fits_by_own_names(self, fields: Fields) -> bool:
        """Whether it fits, and every required field is under one of its `names`."""
        return self.fits(fields) and all(item.is_in_by_own_name(fields) for item in self.required)
