"""The table of a run's losses as a file: one row a dataset row, for other programs to read."""

from pathlib import Path

import pyarrow as pa

from ..data.scores import FLAGS, scores_of
from ..exporting.writing import guarded
from ..selection import scored_run
from ..store import Store
from ..store.row_joins import TEXT_HASH
from .table_files import check_table_file, write_table

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
    check_table_file(path, store.workspace)
    batches = store.batches(_query(store, run, all_scores))
    is_guarded = spreadsheet_guard and path.suffix == ".csv"
    return write_table(path, map(_guarded, batches) if is_guarded else batches)


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
