"""The table of a run's losses as a file: one row a dataset row, for other programs to read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..data.errors import ExportFailed
from ..data.scores import FLAGS, scores_of
from ..exporting.writing import guarded
from ..selection import scored_run
from ..store import Store
from ..store.imported_scores import TEXT_HASH
from ..system.durable_file import DurableFile
from ..system.workspace_files import check_output

COLUMNS = (
    "row_number",
    "example_id",
    "domain",
    "token_count",
    "base_loss",
    "reference_loss",
    "learnability",
    "loss_difference",
    "implicit_reward",
)


def write_losses(store: Store, run: str, path: Path, spreadsheet_guard: bool = False, all_scores: bool = False) -> int:
    """Write `COLUMNS` and `flags` (names joined by ;) of every row; returns how many rows. With `all_scores`, also the
    run's other scores, imported ones included, and `text_hash`, by which other programs can give scores back.

    Losses are in nats per token. The format is the suffix's: .csv, .parquet or .jsonl. With `spreadsheet_guard` no
    cell of a .csv begins a formula: domains are its only text that comes from the data.
    Raises `ExportFailed` for another suffix, or where the file cannot be written, `PathRefused` in the workspace.
    """
    check_output(path, store.workspace)
    writers = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_jsonl}
    if path.suffix not in writers:
        raise ExportFailed(f"{path.name!r} ends in none of {', '.join(writers)}. Choose one of these endings.")
    batches = store.batches(_query(store, run, all_scores))
    count = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches:
            count += batch.num_rows
            yield _guarded(batch) if spreadsheet_guard and path.suffix == ".csv" else batch

    try:
        with DurableFile(path) as file:
            writers[path.suffix](file, counted())
            file.finish()
            file.replace()
    except OSError as error:
        raise ExportFailed(f"{path} cannot be written ({error.strerror}). Nothing was left behind.") from error
    return count


def loss_table(store: Store, run: str, all_scores: bool = False) -> pa.Table:
    """The same columns as an Arrow table in memory. Raises `NotFound`."""
    return store.arrow(_query(store, run, all_scores))


def _query(store: Store, run: str, all_scores: bool = False) -> str:
    found = scored_run(store, run)
    others = [name for name in scores_of(found.roles) if name not in COLUMNS] if all_scores else []
    flags = ", ".join(f"CASE WHEN {flag} THEN '{flag}' END" for flag in FLAGS)
    columns = ", ".join(f"{column}::VARCHAR AS {column}" if column == "example_id" else column for column in COLUMNS)
    more = "".join(f", {name}" for name in others)
    texts = "JOIN example USING (example_id)" if all_scores else ""
    more += f", {TEXT_HASH} AS text_hash" if all_scores else ""
    return f"SELECT {columns}, concat_ws(';', {flags}) AS flags{more} FROM {found.table} {texts} ORDER BY row_number"


def _guarded(batch: pa.RecordBatch) -> pa.RecordBatch:
    domains = pa.array([guarded(domain) for domain in batch["domain"].to_pylist()], pa.string())
    return batch.set_column(batch.schema.get_field_index("domain"), "domain", domains)


def _write_csv(file: DurableFile, batches: Iterator[pa.RecordBatch]) -> None:
    options = pyarrow.csv.WriteOptions(quoting_style="all_valid")
    writer = None
    for batch in batches:
        writer = writer or pyarrow.csv.CSVWriter(pa.PythonFile(file, "w"), batch.schema, write_options=options)
        writer.write_batch(batch)


def _write_parquet(file: DurableFile, batches: Iterator[pa.RecordBatch]) -> None:
    writer = None
    for batch in batches:
        writer = writer or pq.ParquetWriter(file, batch.schema)
        writer.write_batch(batch)
    if writer:
        writer.close()


def _write_jsonl(file: DurableFile, batches: Iterator[pa.RecordBatch]) -> None:
    for batch in batches:
        for row in batch.to_pylist():
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
