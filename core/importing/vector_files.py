"""Reads a file of vectors that were computed elsewhere: a key for each row, and a list of numbers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..data.errors import SourceUnreadable
from ..data.json_types import shown
from ..data.listing import listed
from ..system.file_hash import file_sha256
from ..system.paths import open_file
from .arrow_records import parquet_batches, parquet_names
from .reading import container_of, readable_table
from .records import plain_text
from .row_keys import ROW, check_join, key_column, key_text, row_keys
from .unpacking import check_readable

_NPY = b"\x93NUMPY"
"""First bytes of a file that numpy.save wrote."""
_BLOCK_ROWS = 1_000
_MOST_NUMBERS = 65_536
"""Of a vector. The matrix that makes such ones narrower takes 64 MB."""
_NPY_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    OverflowError,
    TypeError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TokenError,
)
"""What numpy raises for files that are cut off, or whose header is hostile."""

Narrow = Callable[[NDArray[np.float32]], NDArray[np.float16]]
"""Makes vectors [rows x width] narrower, so that a file need not fit into memory. The largest number of each is 1 or
-1, or all are 0."""


@dataclass(frozen=True, slots=True)
class VectorFile:
    """What a file holds: the `keys` of its rows (row numbers, or text), and their `vectors`, narrowed, zeros for a row
    without one. `column`: that of the vectors, "" in an .npy file. `key`: that of the keys; None: the rows are in the
    dataset's order. `width`: of the vectors as the file has them."""

    name: str
    sha256: str
    column: str
    key: str | None
    keys: list[Any]
    vectors: NDArray[np.float16]
    width: int


@dataclass(frozen=True, slots=True)
class _Block:
    """Some rows of a file: their keys, if the file has any, and an Arrow array of lists of numbers."""

    keys: list[Any]
    lists: Any


def read_vector_file(path: Path, column: str, joined_by: str, narrow: Narrow, key: str | None = None) -> VectorFile:
    """Read a column of lists of numbers from Parquet, JSONL, JSON or Arrow, or the rows of an .npy file, which has no
    columns. `key`: the column to join by, by default one of `JOINS`.

    Raises `SourceUnreadable` for a file that cannot be read, lacks a column, has a row twice, has vectors of different
    lengths or of more than 65,536 numbers, or a number that is not finite.
    """
    check_readable(path)
    check_join("Vectors", joined_by)
    if _is_npy(path):
        if joined_by != ROW or key:
            raise SourceUnreadable(f"{path.name} has no keys, only vectors in the rows' order. Join it by row.")
        column, blocks = "", _npy_blocks(path)
    else:
        key, blocks = _column_blocks(path, column, joined_by, key)
    keys: list[Any] = []
    found: list[tuple[NDArray[np.int64], NDArray[np.float16]]] = []
    width = 0
    for block in blocks:
        first = len(keys) + 1
        places, numbers = _numbers(block.lists, first, width, path.name)
        if len(places):
            width = numbers.shape[1]
            found.append((places, narrow(_scaled(numbers))))
        if key is None:
            keys += range(first, first + len(block.lists))
        else:
            keys += [key_text(each, number, key, path.name) for number, each in enumerate(block.keys, first)]
    if not found:
        raise SourceUnreadable(f"{path.name} has no vectors. Check how it was written.")
    vectors = np.zeros((len(keys), found[0][1].shape[1]), np.float16)
    for places, narrowed in found:
        vectors[places - 1] = narrowed
    kept = row_keys(keys, joined_by, key, path.name)
    return VectorFile(path.name, file_sha256(path), column, key, kept, vectors, width)


def _is_npy(path: Path) -> bool:
    with open_file(path) as file:
        return file.read(len(_NPY)) == _NPY


def _column_blocks(path: Path, column: str, joined_by: str, key: str | None) -> tuple[str | None, Iterator[_Block]]:
    """The column of the keys, and the file's rows."""
    if container_of(path) == "parquet":
        types = parquet_names(path)
        _check_column(path.name, column, types)
        if not _is_of_numbers(types[column]):
            raise SourceUnreadable(
                f"The column {column} of {path.name} is {types[column]}. Name one of lists of numbers."
            )
        key = key_column(path.name, list(types), joined_by, key)
        return key, _parquet_blocks(path, column, key)
    columns, records = readable_table(path)
    _check_column(path.name, column, columns)
    key = key_column(path.name, list(columns), joined_by, key)
    return key, _record_blocks(path.name, records, column, key)


def _check_column(file: str, column: str, fields: Any) -> None:
    if column not in fields:
        raise SourceUnreadable(
            f"{file} has no column {column}. Its columns are {listed(fields)}; name that of vectors."
        )


def _is_of_numbers(kind: Any) -> bool:
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _npy_blocks(path: Path) -> Iterator[_Block]:
    try:
        with np.errstate(over="ignore"):  # of a shape that is too large, which is an error anyway
            table = np.load(path, mmap_mode="r", allow_pickle=False)
    except _NPY_ERRORS as error:
        raise SourceUnreadable(
            f"{path.name} is not a complete .npy file ({plain_text(str(error), 100)}). Write it again."
        ) from error
    if table.ndim != 2 or table.dtype.kind not in "fiu" or not table.shape[1]:
        raise SourceUnreadable(
            f"{path.name} has numbers of type {table.dtype} in the shape {table.shape}. Give real ones [rows x width]."
        )
    _check_width(table.shape[1], path.name)
    for start in range(0, len(table), _BLOCK_ROWS):
        rows = np.asarray(table[start : start + _BLOCK_ROWS], np.float64)
        yield _Block([], pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), table.shape[1]))


def _parquet_blocks(path: Path, column: str, key: str | None) -> Iterator[_Block]:
    for batch in parquet_batches(path, [column, *([key] if key else [])]):
        lists = batch[column]
        while isinstance(lists.type, pa.BaseExtensionType):
            lists = lists.storage
        yield _Block(batch[key].to_pylist() if key else [], lists)


def _record_blocks(file: str, records: Iterator[dict[str, Any]], column: str, key: str | None) -> Iterator[_Block]:
    first = 1
    while fields := list(islice(records, _BLOCK_ROWS)):
        lists = _as_lists([each.get(column) for each in fields], first, column, file)
        yield _Block([each.get(key) for each in fields] if key else [], lists)
        first += len(fields)


def _as_lists(values: list[Any], first: int, column: str, file: str) -> Any:
    if (found := _lists(values)) is not None:
        return found
    number, value = next((each for each in enumerate(values, first) if _lists([each[1]]) is None), (first, values[0]))
    raise SourceUnreadable(
        f"Row {number:,} of {file} has {shown(value)} in the column {column}. Give a list of numbers."
    )


def _lists(values: list[Any]) -> Any:
    """The values as an Arrow array of lists of numbers; None if some are no such list."""
    try:
        found = pa.array(values)  # not as a type that is given: true would become 1
        is_empty = pa.types.is_null(found.type) or found.type == pa.list_(pa.null())
        return found.cast(pa.list_(pa.float64())) if is_empty or _is_of_numbers(found.type) else None
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _numbers(lists: Any, first: int, width: int, file: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The places of the rows that have a vector, counted from `first`, and their vectors [rows x width]. `width`: that
    of the rows before, 0 if there are none."""
    places = first + np.flatnonzero(lists.is_valid().to_numpy(zero_copy_only=False))
    given = lists.drop_null()
    lengths = pc.list_value_length(given).to_numpy(zero_copy_only=False)
    width = width or (int(lengths[0]) if len(lengths) else 0)
    _check_width(width, file)
    if (other := np.flatnonzero((lengths != width) | (lengths == 0))).size:
        at = int(other[0])
        raise SourceUnreadable(
            f"Row {places[at]:,} of {file} has a vector of {int(lengths[at]):,} numbers"
            f"{f', not of {width:,} as before' if width else ''}. Give vectors of one length."
        )
    numbers = given.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(given), width)
    if (bad := np.flatnonzero(~np.isfinite(numbers).all(axis=1))).size:
        raise SourceUnreadable(
            f"Row {places[bad[0]]:,} of {file} has a vector with NaN, infinity or a missing number. Give finite "
            "numbers, or no vector."
        )
    return places, numbers


def _check_width(width: int, file: str) -> None:
    if width > _MOST_NUMBERS:
        raise SourceUnreadable(
            f"{file} has vectors of {width:,} numbers. Give at most {_MOST_NUMBERS:,}, such as projected ones."
        )


def _scaled(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """The vectors divided by their largest number: single precision then holds any."""
    largest = np.abs(numbers).max(axis=1, keepdims=True)
    scaled = np.divide(numbers, largest, out=np.zeros_like(numbers), where=largest > 0)
    return np.asarray(scaled, np.float32)
