"""Checks parsed JSON against types: whatever does not fit becomes one `JsonInvalid` that names the field.

The rules are pydantic's strict ones: a text is no number, true is no number. Numbers must be finite, integers must fit
into 64 bits, and texts must be valid Unicode.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

import orjson

from .errors import JsonInvalid, UserError
from .listing import listed

_Value = TypeVar("_Value")
_MOST_SHOWN = 80
"""Characters of a value in a sentence."""


def checked(
    value: Any, kind: type[_Value], what: str, refusal: type[UserError] = JsonInvalid, field: str = ""
) -> _Value:
    """A parsed value as a dataclass or other type. Raises `refusal` with a sentence that names what does not fit:
    `what` is the whole, and `field` the part of it that this value is.

    Errors of a dataclass's own checks pass.
    """
    from pydantic import ValidationError

    try:
        # As JSON, because in strict mode pydantic takes an object of JSON for a dataclass, and no dict.
        found: _Value = _adapter(cast(Hashable, kind)).validate_json(orjson.dumps(value), strict=True, extra="forbid")
        json.dumps(value, allow_nan=False)  # to orjson they are null
        return found
    except ValidationError as error:
        raise refusal(f"{what} cannot be used: {_fault(value, error, field)}.") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise refusal(f"{what} cannot be used: {field or 'it'} is no JSON ({shown(error)}).") from error


def checked_fields(
    given: Any,
    of: type,
    what: str,
    refusal: type[UserError] = JsonInvalid,
    readers: Mapping[str, Callable[[Any], Any]] | None = None,
) -> dict[str, Any]:
    """The fields of a JSON object for the dataclass `of`, each checked against its type, or read by its reader.

    What is left out is left out here too. Raises `refusal` for a field that does not fit, is unknown, or is missing
    though it has no default.
    """
    if not isinstance(given, Mapping):
        raise refusal(f"The {what} is {shown(given)}. Give a JSON object.")
    # What is not compared is no part of a value, and not to be set from outside.
    parts, types = {part.name: part for part in fields(of) if part.compare}, _types(of)
    if unknown := _listed(name for name in given if name not in parts):
        raise refusal(f"The {what} has unknown fields: {unknown}. It may have: {_listed(parts)}.")
    needed = [name for name, part in parts.items() if part.default is part.default_factory is MISSING]
    if missing := _listed(name for name in needed if name not in given):
        raise refusal(f"The {what} lacks: {missing}. Add it.")
    readers = readers or {}
    return {
        name: readers[name](value) if name in readers else checked(value, types[name], f"The {what}", refusal, name)
        for name, value in given.items()
    }


@cache
def _adapter(kind: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cast(type[Any], kind))


@cache
def _types(of: type) -> dict[str, Any]:
    return get_type_hints(of)


def _fault(value: Any, error: Any, field: str) -> str:
    """The first thing that does not fit: its place, what it is, and what it should be."""
    found = [one for one in error.errors(include_url=False, include_context=False) if one["type"] != "json_invalid"]
    if not found:
        return f"{field or 'it'} is nested too deep"
    places = [_place(value, one["loc"], field) for one in found]
    (path, here), fault = places[0], found[0]
    if fault["type"] == "missing":
        return f"{path}{'.' if path else ''}{fault['loc'][-1]} is missing"
    if fault["type"] == "unexpected_keyword_argument":
        return f"{path} is not a known field"
    # Of the types in a union the last says most: a number, rather than an integer.
    wanted = [one["msg"] for one, place in zip(found, places, strict=True) if place == places[0]][-1]
    return f"{path or 'it'} is {shown(here)}. {wanted.replace('Input should be', 'It should be')}"


def _place(value: Any, path: tuple[str | int, ...], field: str) -> tuple[str, Any]:
    """How far a path leads into a value, and what is there; the rest of it names types, or a field that is missing."""
    names = [field] if field else []
    for name in path:
        try:
            value = value[name]
        except (LookupError, TypeError):
            break
        names.append(str(name))
    return _plain(".".join(names)), value


def _listed(names: Iterable[Any]) -> str:
    return listed(_plain(str(name)[:_MOST_SHOWN]) for name in names)


def shown(value: Any) -> str:
    """A value of any size and kind, short and printable."""
    try:
        text = str(value) if isinstance(value, Exception) else repr(value)
    except (RecursionError, ValueError):  # nested too deep, or an integer of more digits than Python prints
        return "a value too large to show"
    return _plain(text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}...")


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
