"""Finds the records in a JSON file that is one object: the object itself, a list under a key, or columns.

Only the start of the file is inspected, so this is fast for files of any size.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..data.errors import SourceUnreadable
from .formats import FORMATS
from .json_parsing import DECODER, is_turn
from .records import RecordUnusable, plain_text
from .splits import is_split_name, named_split, one_training_split

HEAD_CHARACTERS = 2**20
_SPACE = re.compile(r"[ \t\r\n,]*")
_COLON = re.compile(r"[ \t\r\n]*:[ \t\r\n]*")
_USUAL_KEYS = ("data", "rows", "examples", "items", "records", "instances", "samples", "dataset")
_INCOMPLETE = object()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the records are: the items of the list under `key` (or the object under `item` in each of them), the
    `members` of the object, or the rows of its `columns`. `note` says which parts of the file are not read."""

    kind: str
    key: str = ""
    item: str = ""
    note: str = ""
    has_splits: bool = False
    wanted: str = ""

    def is_at(self, key: str) -> bool:
        """Whether the records are under this key."""
        return key == self.key if self.key else named_split([key], self.wanted) is not None


def layout_of(text: str, name: str, split: str | None = None) -> Layout | None:
    """The layout of a JSON file, given the start of its text; None if it holds plain records.

    Raises `SourceUnreadable` if the requested split is missing, or there is no single training split.
    """
    layout = _layout(text, name, split) if text.startswith("{") else None
    if split and not (layout and layout.has_splits):
        raise no_splits(name, split)
    return layout


def no_splits(name: str, split: str) -> SourceUnreadable:
    """The error for a requested split in a file without splits."""
    return SourceUnreadable(f"{plain_text(name, 80)} has no splits, so it has no split {split!r}. Omit --split.")


def _layout(text: str, name: str, split: str | None) -> Layout | None:
    members = list(_members(text))
    lists = {key: item for key, item in ((key, _first_item(text, *rest)) for key, *rest in members) if item is not None}
    values = {key: value for key, _, value in members}
    splits = [key for key, item in lists.items() if is_split_name(key) and isinstance(item, dict)]
    if splits and len(splits) == len(members):
        return _split_layout(splits, name, split, is_whole=_INCOMPLETE not in values.values())
    if _are_columns(values, lists):
        return Layout("columns")
    if any(source_format.fits_by_own_names(values) for source_format in FORMATS):
        return None
    if isinstance(lists.get("rows"), dict) and isinstance(lists["rows"].get("row"), dict):
        return Layout("list", "rows", "row")
    records = [key for key, item in lists.items() if isinstance(item, dict) and not is_turn(item)]
    usual = [key for key in records if key in _USUAL_KEYS]
    if len(records) == 1 or len(usual) == 1:
        key = (usual or records)[0]
        others = [other for other in records if other != key]
        note = f"Its records are read from {key!r}; {', '.join(map(repr, others))} is not read." if others else ""
        return Layout("list", key, note=note)
    complete = [value for value in values.values() if value is not _INCOMPLETE]
    if complete and all(isinstance(value, dict) and _is_record(value) for value in complete):
        return Layout("members")
    return None


def rows_of_columns(table: Any) -> Iterator[dict[str, Any]]:
    """The rows of a column-wise table. Raises `RecordUnusable` if its columns differ in length."""
    if isinstance(table, dict) and set(table) == {"columns", "index", "data"}:
        yield from (dict(zip(table["columns"], row, strict=False)) for row in table["data"])
        return
    columns = {
        name: list(value.values()) if isinstance(value, dict) else value
        for name, value in (table.items() if isinstance(table, dict) else ())
    }
    lengths = {len(values) if isinstance(values, list) else -1 for values in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise RecordUnusable("wrong type", f"columns of different length: {', '.join(columns)}")
    yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def no_such_split(splits: list[str], name: str, split: str | None) -> SourceUnreadable:
    """The error for a missing split, or for an ambiguous choice."""
    wanted = f"no split {split!r}" if split else "no single training split"
    return SourceUnreadable(
        f"{plain_text(name, 80)} has {wanted}. It has: {', '.join(splits)}. Choose one as the split (--split)."
    )


def _split_layout(splits: list[str], name: str, split: str | None, is_whole: bool) -> Layout:
    chosen = named_split(splits, split) if split else one_training_split(splits)
    if not is_whole:
        note = f"Of its splits only {chosen or split or 'the one for training'} is read."
        return Layout("list", chosen or "", note=note, has_splits=True, wanted=split or "train")
    if chosen is None:
        raise no_such_split(splits, name, split)
    note = f"Of its splits {', '.join(splits)}, {chosen} is read." if len(splits) > 1 else ""
    return Layout("list", chosen, note=note, has_splits=True)


def _are_columns(values: dict[str, Any], lists: dict[str, Any]) -> bool:
    """Whether an object is a column-wise table: lists of one length, or objects with the same keys (as in pandas)."""
    if set(values) == {"columns", "index", "data"}:
        return True
    known = [value for value in values.values() if value is not _INCOMPLETE]
    keyed = [value for value in known if isinstance(value, dict)]
    if any(map(is_turn, keyed)):
        return False
    if keyed and len(keyed) == len(known) and any(item.fits(values) for item in FORMATS):
        return all(set(value) == set(keyed[0]) and not any(map(is_turn, value.values())) for value in keyed)
    if len(lists) < len(values) or any(isinstance(item, dict) for item in lists.values()):
        return False
    if not any(item.has_fields(values) for item in FORMATS):
        return False
    return len({len(value) for value in known}) <= 1 and not (
        len(values) == 1 and isinstance(next(iter(lists.values())), str)
    )


def _is_record(value: dict[str, Any]) -> bool:
    return any(source_format.fits(value) for source_format in FORMATS)


def _members(text: str) -> Iterator[tuple[str, int, Any]]:
    """Keys of the object with the positions of their values and the values; the last value may be incomplete."""
    at = 1
    while True:
        at = _after(_SPACE, text, at)
        try:
            key, at = DECODER.raw_decode(text, at)
            at = _after(_COLON, text, at)
        except (ValueError, RecursionError, RecordUnusable):
            return
        start = at
        try:
            value, at = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError, RecordUnusable):
            yield key, start, _INCOMPLETE
            return
        yield key, start, value


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    if match is None:
        raise ValueError("no colon")
    return match.end()


def _first_item(text: str, start: int, value: Any) -> Any:
    """The first item of a list; None if it is not a list, is empty, or the item is not visible yet."""
    if value is not _INCOMPLETE:
        return value[0] if isinstance(value, list) and value else None
    if text[start : start + 1] != "[":
        return None
    try:
        return DECODER.raw_decode(text, _after(_SPACE, text, start + 1))[0]
    except (ValueError, RecursionError, RecordUnusable):
        return None
