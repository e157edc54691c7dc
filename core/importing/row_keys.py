"""Keys by which the records of a file, of scores or of vectors, are joined to a dataset's rows."""

from collections.abc import Sequence
from typing import Any

from ..data.errors import SourceUnreadable
from ..data.json_types import shown
from ..data.listing import listed

JOINS = {
    "row": ("row_number", "row"),
    "example-id": ("example_id", "id"),
    "text-hash": ("text_hash",),
}
"""What a file's rows are joined to a dataset's by, and the columns that hold it; by row, the file's order will do."""
ROW = "row"


def check_join(what: str, joined_by: str) -> None:
    """Raise `SourceUnreadable` unless `what`, such as scores, can be joined by it."""
    if joined_by not in JOINS:
        raise SourceUnreadable(f"{what} cannot be joined by {shown(joined_by)}. Must be one of: {', '.join(JOINS)}.")


def key_column(file: str, fields: Sequence[str], joined_by: str, key: str | None) -> str | None:
    """The column to join by: `key`, or one of `JOINS`; None: the file's order. Raises `SourceUnreadable`."""
    known = [key] if key else [name for name in JOINS[joined_by] if name in fields]
    if (key and key not in fields) or (not known and joined_by != ROW):
        wanted = key or " or ".join(JOINS[joined_by])
        raise SourceUnreadable(
            f"{file} has no column {wanted} to join by. Its columns are {listed(fields)}; name one as the key."
        )
    return known[0] if known else None


def key_text(value: Any, number: int, key: str, file: str) -> str:
    """The key of a file's row of that number. Raises `SourceUnreadable` if it has none."""
    if value is None or value == "":
        raise SourceUnreadable(f"Row {number:,} of {file} has no {key}, so it cannot be joined. Remove the row.")
    return str(value)


def row_keys(keys: Sequence[Any], joined_by: str, key: str | None, file: str) -> list[Any]:
    """The keys as a dataset has them: row numbers, or text. Raises `SourceUnreadable` for a key that is no row number
    (1 to 2^63 - 1), or is there twice."""
    found = [_row_key(each, number, key, file) if joined_by == ROW else each for number, each in enumerate(keys, 1)]
    seen: set[Any] = set()
    for number, each in enumerate(found, 1):
        if each in seen:
            raise SourceUnreadable(f"Row {number:,} of {file} is a second one for {shown(each)}. Keep one of them.")
        seen.add(each)
    return found


def _row_key(value: Any, number: int, key: str | None, file: str) -> int:
    try:
        row = float(value)
        if row == int(row) and 1 <= row < 2**63:
            return int(row)
    except (ValueError, OverflowError):
        pass
    raise SourceUnreadable(f"Row {number:,} of {file} has {shown(value)} as its {key}. Give a row number, from 1.")
