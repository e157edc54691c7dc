"""Writes a table as CSV, Parquet or JSONL, by the file's suffix: the file is there whole or not at all."""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..data.errors import ExportFailed
from ..system.durable_file import DurableFile
from ..system.workspace_files import check_output


def check_table_file(path: Path, workspace: Path) -> None:
    """Raise `ExportFailed` for another suffix, `PathRefused` for a place in a workspace."""
    check_output(path, workspace)
    if path.suffix not in _WRITERS:
        raise ExportFailed(f"{path.name!r} ends in none of {', '.join(_WRITERS)}. Choose one of these endings.")


def write_table(path: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches of one schema to a path that was checked; returns how many rows. Raises `ExportFailed` where the
    file cannot be written."""
    count = 0

    def counted() -> Iterable[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += batch.num_rows
            yield batch

    try:
        with DurableFile(path) as file:
            _WRITERS[path.suffix](file, counted())
            file.finish()
            file.replace()
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written ({error.strerror}). Nothing was left behind.") from error
    return count


def _write_csv(file: DurableFile, batches: Iterable[pa.RecordBatch]) -> None:
    options = pyarrow.csv.WriteOptions(quoting_style="all_valid")
    writer = None
    for batch in batches:
        writer = writer or pyarrow.csv.CSVWriter(pa.PythonFile(file, "w"), batch.schema, write_options=options)
        writer.write_batch(batch)


def _write_parquet(file: DurableFile, batches: Iterable[pa.RecordBatch]) -> None:
    writer = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(file, batch.schema)
        writer.write_batch(batch)
    if writer:
        writer.close()


def _write_jsonl(file: DurableFile, batches: Iterable[pa.RecordBatch]) -> None:
    for batch in batches:
        for row in batch.to_pylist():
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_jsonl}
