"""Reads the rows of Parquet and Arrow files; the original of a row is a JSON object of its fields."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data import settings
from ..data.errors import SourceUnreadable
from ..data.examples import Rejected
from .json_parsing import MOST_PARTS, depth_of, too_many_parts
from .records import RecordUnusable, SourceRecord, plain_text
from .table_json import as_json, json_value
from .unpacking import compression_of, open_unpacked

ARROW_FILE, ARROW_STREAM = b"ARROW1", b"\xff\xff\xff\xff"
"""First bytes of Arrow's two kinds of file."""

_BATCH_ROWS = 1_000
_COPY_BYTES = 2**20


def parquet_records(path: Path) -> Iterator[SourceRecord | Rejected]:
    """Rows of a Parquet file, numbered from 1, batch by batch.

    Raises `SourceUnreadable` if it is not a Parquet file or unpacks to more than the setting max_unpacked_bytes.
    """
    with _parquet(path) as parquet:
        number = 1
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
            yield from _batch_records(batch, number)
            number += batch.num_rows


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    with _seekable(path) as file:
        try:
            parquet = pq.ParquetFile(file)
            _check_parquet(parquet, path.name)
            yield parquet
        except (pa.ArrowException, OSError) as error:
            if "too deeply nested" in str(error):
                raise SourceUnreadable(
                    f"{path.name} has columns nested too deep to read. Drop them or save them as text."
                ) from error
            raise SourceUnreadable(
                f"{path.name} is not a complete Parquet file ({plain_text(str(error), 100)}). Fetch it again."
            ) from error


def parquet_names(path: Path) -> dict[str, pa.DataType]:
    """The columns of a Parquet file and their types. Raises `SourceUnreadable`."""
    with _parquet(path) as parquet:
        return {field.name: field.type for field in parquet.schema_arrow}


def parquet_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of a Parquet file, as they are. Raises `SourceUnreadable`."""
    with _parquet(path) as parquet:
        return parquet.read(list(names))


def parquet_batches(path: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a Parquet file, as they are, batch by batch. Raises `SourceUnreadable`."""
    with _parquet(path) as parquet:
        yield from parquet.iter_batches(batch_size=_BATCH_ROWS, columns=list(names))


def arrow_records(path: Path) -> Iterator[SourceRecord | Rejected]:
    """Rows of an Arrow IPC file or stream (as the datasets library saves them), numbered from 1, batch by batch.

    Raises `SourceUnreadable` if it is neither, or unpacks to more than the setting max_unpacked_bytes.
    """
    limit = settings.integer("max_unpacked_bytes")
    with _seekable(path) as file:
        try:
            number, size = 1, 0
            for batch in _arrow_batches(file):
                # Offsets in the file are untrusted and are followed when texts are read, so they are validated first.
                batch.validate(full=True)
                _check_names(batch.schema.names, path.name)
                size += batch.nbytes
                if size > limit:
                    raise SourceUnreadable(
                        f"{path.name} unpacks to more than {limit:,} bytes. If you trust it, raise "
                        "LOBASS_MAX_UNPACKED_BYTES."
                    )
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    rows = batch.slice(start, _BATCH_ROWS)
                    yield from _batch_records(rows, number)
                    number += rows.num_rows
        except (pa.ArrowException, OSError) as error:
            raise SourceUnreadable(
                f"{path.name} is not a complete Arrow file ({plain_text(str(error), 100)}). Fetch it again."
            ) from error


def _arrow_batches(file: Any) -> Iterator[Any]:
    is_file = file.read(len(ARROW_FILE)) == ARROW_FILE
    file.seek(0)
    if is_file:
        reader = pa.ipc.open_file(file)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(file)


@contextmanager
def _seekable(path: Path) -> Iterator[Any]:
    """The file, or its unpacked copy on disk if it is compressed: Parquet is read from its end."""
    if not compression_of(path):
        with open(path, "rb") as file:
            yield file
        return
    with open_unpacked(path) as stream, tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked, _COPY_BYTES)
        unpacked.seek(0)
        yield unpacked


def _check_parquet(parquet: Any, name: str) -> None:
    metadata = parquet.metadata
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > settings.integer("max_unpacked_bytes"):
        raise SourceUnreadable(f"{name} unpacks to {size:,} bytes. If you trust it, raise LOBASS_MAX_UNPACKED_BYTES.")
    _check_names(parquet.schema_arrow.names, name)


def _check_names(names: list[str], name: str) -> None:
    if len(set(names)) < len(names):
        raise SourceUnreadable(f"{name} has two columns with the same name. Give each column a unique name.")


def _batch_records(batch: Any, first: int) -> Iterator[SourceRecord | Rejected]:
    """The rows of a batch; a batch of very many values is read row by row, as a list of nothing takes little in Arrow
    and 64 bytes in Python."""
    if _parts(batch.to_struct_array()) <= MOST_PARTS:
        yield from _records(batch, first)
        return
    for number in range(batch.num_rows):
        row = batch.slice(number, 1)
        if _parts(row.to_struct_array()) > MOST_PARTS:
            yield too_many_parts().at(first + number)
        else:
            yield from _records(row, first + number)


def _parts(values: Any) -> int:
    """How many values an array holds, those in its lists and objects included."""
    if isinstance(values.type, pa.BaseExtensionType):
        return _parts(values.storage)
    if pa.types.is_map(values.type):  # its entries as a list; maps themselves do not flatten
        entry = pa.struct([("key", values.type.key_type), ("value", values.type.item_type)])
        return _parts(values.cast(pa.list_(entry)))
    if pa.types.is_struct(values.type):
        return len(values) + sum(map(_parts, values.flatten()))
    if pa.types.is_nested(values.type) and hasattr(values, "flatten"):
        return len(values) + _parts(values.flatten())
    return len(values)


def _records(batch: Any, first: int) -> Iterator[SourceRecord | Rejected]:
    try:
        rows: list[dict[str, Any] | None] = batch.to_pylist()
    except ValueError:
        # One text that is not UTF-8 fails the whole batch, so read its rows one by one.
        rows = [_row(batch.slice(i, 1)) for i in range(batch.num_rows)]
    limit, depth = settings.integer("max_line_bytes"), settings.integer("max_json_depth")
    for number, row in enumerate(rows, first):
        try:
            if row is None:
                raise RecordUnusable("not UTF-8")
            if depth_of(row) > depth:
                raise RecordUnusable("nested too deep", f"more than {depth} levels")
            fields = json_value(row)
            original = as_json(fields)
            if len(original) > limit:
                raise RecordUnusable("line too long", f"more than {limit:,} bytes")
            yield SourceRecord(number, original, fields)
        except RecordUnusable as unusable:
            yield unusable.at(number)


def _row(row: Any) -> dict[str, Any] | None:
    try:
        return dict(row.to_pylist()[0])
    except ValueError:
        return None
