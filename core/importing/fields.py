"""A format's fields, the names they go by, and their values in one record."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..data.examples import Message, Rejected
from .records import SourceRecord

Fields = Mapping[str, Any]
Records = Iterator[SourceRecord | Rejected]


@dataclass(frozen=True, slots=True)
class FormatField:
    """A field of a format: the names it goes by (the first is its own), and whether a record must have it.

    `also` are names that other data gives it: they count where it has none of `names`, and a format that needs them
    gives way to one that fits by its own names.
    """

    names: tuple[str, ...]
    required: bool = True
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its own name, to which a column of another name can be mapped."""
        return self.names[0]

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every name it goes by, the first that a record has counts."""
        return self.names + self.also

    def found_in(self, fields: Fields) -> str:
        """The name it goes by in a record: the first with a value, else the first there is, else ""."""
        present = [name for name in self.all_names if name in fields]
        return next((name for name in present if fields[name] is not None), present[0] if present else "")

    def value(self, fields: Fields) -> Any:
        """Its value in a record, else None."""
        name = self.found_in(fields)
        return fields[name] if name else None

    def is_in(self, fields: Fields) -> bool:
        """Whether a record has it, be it empty."""
        return any(name in fields for name in self.all_names)

    def is_in_by_own_name(self, fields: Fields) -> bool:
        """Whether a record has it under one of `names`."""
        return any(name in fields for name in self.names)


@dataclass(frozen=True, slots=True)
class RecordValues:
    """The values of a format's fields in one record, by the fields' own names; `fields` is all that the record has.

    `notices` collects what deserves a look though it is read: each ends the sentence "this row has ...".
    """

    values: Mapping[str, Any]
    fields: Fields
    notices: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A format: its name, what it is for, its fields, and how a record's values become a conversation.

    `holds` looks at a record's values where names do not tell: a text is a conversation only if it has chat markup.
    `join` puts together the records of a file that are parts of one conversation each.
    """

    name: str
    summary: str
    fields: tuple[FormatField, ...]
    messages: Callable[[RecordValues], list[Message]]
    holds: Callable[[Fields], bool] | None = None
    join: Callable[[Records], Records] | None = None

    @property
    def required(self) -> tuple[FormatField, ...]:
        """Fields that a record must have."""
        return tuple(item for item in self.fields if item.required)

    def has_fields(self, names: Fields) -> bool:
        """Whether there is every field that the format needs, whatever the values."""
        return all(item.is_in(names) for item in self.required)

    def fits(self, fields: Fields) -> bool:
        """Whether a record has every field that the format needs, and values that it can be."""
        return self.has_fields(fields) and (self.holds is None or self.holds(fields))

    def fits_by_own_names(self, fields: Fields) -> bool:
        """Whether it fits, and every field it needs goes by one of its own names."""
        return self.fits(fields) and all(item.is_in_by_own_name(fields) for item in self.required)
