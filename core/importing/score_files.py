"""Reads a file of scores that were computed elsewhere: a key for each row, and columns of numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..data.errors import SourceUnreadable
from ..data.json_types import shown
from ..data.listing import listed
from ..data.loss_roles import IMPORTED
from ..system.file_hash import file_sha256
from .arrow_records import parquet_columns, parquet_names
from .reading import container_of, readable_table
from .row_keys import JOINS, ROW, check_join, key_column, key_text, row_keys
from .unpacking import check_readable

_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """What a file of scores holds. `columns`: the file's column of each score, by the score's name. `table`: `key` (a
    row number, or text), and a float64 column for each score, null where the file has no value. `in_order`: the keys
    are the file's own row numbers."""

    name: str
    sha256: str
    joined_by: str
    columns: Mapping[str, str]
    table: pa.Table
    in_order: bool


def read_score_file(path: Path, joined_by: str, columns: Sequence[str] = (), key: str | None = None) -> ScoreFile:
    """Read CSV, JSON, JSONL or Parquet. `columns`: those to read, by default all whose first value is a number. `key`:
    the column to join by, by default one of `JOINS`.

    Raises `SourceUnreadable` for a file that cannot be read, lacks a column, has a row twice, or has a value that is
    not a finite number.
    """
    check_readable(path)
    check_join("Scores", joined_by)
    read = _read_parquet if container_of(path) == "parquet" else _read_records
    key, names, keys, values = read(path, joined_by, columns, key)
    if not keys:
        raise SourceUnreadable(f"{path.name} has no rows. Check how it was written.")
    scores = _score_names(path.name, names)
    kept = row_keys(keys, joined_by, key, path.name)
    arrays = [pa.array(column, pa.float64()) for column in values]
    found = pa.table([pa.array(kept, pa.int64() if joined_by == ROW else pa.string()), *arrays], ["key", *scores])
    return ScoreFile(path.name, file_sha256(path), joined_by, scores, found, key is None)


_Read = tuple[str | None, list[str], list[Any], list[list[float | None]]]
"""The key's column (None: the file's order), the columns' names, the keys and the columns' values."""


def _read_records(path: Path, joined_by: str, columns: Sequence[str], key: str | None) -> _Read:
    found, records = readable_table(path)
    key = key_column(path.name, list(found), joined_by, key)
    names = _value_columns(path.name, found, columns, key)
    keys: list[Any] = []
    values: list[list[float | None]] = [[] for _ in names]
    for number, fields in enumerate(records, 1):
        keys.append(number if key is None else key_text(fields.get(key), number, key, path.name))
        for name, column in zip(names, values, strict=True):
            column.append(_number(fields.get(name), number, name, path.name))
    return key, names, keys, values


def _read_parquet(path: Path, joined_by: str, columns: Sequence[str], key: str | None) -> _Read:
    fields = parquet_names(path)
    key = key_column(path.name, list(fields), joined_by, key)
    # A type says whether a column is of numbers, whatever its first value.
    first = {
        name: 0 if pa.types.is_integer(kind) or pa.types.is_floating(kind) else "" for name, kind in fields.items()
    }
    names = _value_columns(path.name, first, columns, key)
    table = parquet_columns(path, [*([key] if key else []), *names])
    keys: list[Any] = list(range(1, table.num_rows + 1))
    if key:
        keys = [key_text(each, number, key, path.name) for number, each in enumerate(table[key].to_pylist(), 1)]
    values = [
        [_number(value, number, name, path.name) for number, value in enumerate(table[name].to_pylist(), 1)]
        for name in names
    ]
    return key, names, keys, values


def _value_columns(file: str, first: Mapping[str, Any], columns: Sequence[str], key: str | None) -> list[str]:
    if missing := [name for name in columns if name not in first]:
        raise SourceUnreadable(f"{file} has no column {listed(missing)}. Its columns are {listed(first)}.")
    not_scores = {key, *(name for names in JOINS.values() for name in names)}
    found = list(dict.fromkeys(columns)) or [
        name for name, value in first.items() if name not in not_scores and _is_number(value)
    ]
    if not found:
        raise SourceUnreadable(f"{file} has no column of numbers. Its columns are {listed(first)}; name one to import.")
    return found


def score_name(text: str, room: int = 0) -> str:
    """The name of the score of a column; nothing follows its beginning if the column has no letter a to z and no digit.
    `room`: characters to leave for an ending."""
    plain = re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")
    return IMPORTED + plain[: _LONGEST_NAME - room]


def _score_names(file: str, columns: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for column in columns:
        name = score_name(column)
        if name == IMPORTED or name in found:
            raise SourceUnreadable(
                f"The column {shown(column)} of {file} gives no name of its own (letters a to z and digits). Rename it."
            )
        found[name] = column
    return found


def _is_number(value: Any) -> bool:
    try:
        return value is not None and not isinstance(value, bool) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _number(value: Any, number: int, column: str, file: str) -> float | None:
    if value is None or value == "":
        return None
    if not _is_number(value):
        raise SourceUnreadable(
            f"Row {number:,} of {file} has {shown(value)} in the column {column}. Give a finite number, or none."
        )
    return float(value)
