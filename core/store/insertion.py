"""Inserts records in blocks: rows, their examples (each once), and rejections."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pyarrow as pa

from ..data.examples import DatasetRow, Rejected
from ..data.row_blocks import RowBlock, row_blocks
from .connection import fetch_all, fetch_first, next_id
from .text_measures import insert_measures

_IS_NEW = "is_first AND example_id NOT IN (SELECT example_id FROM example)"


def ensure_dataset(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    """Id of the dataset with that name, created if new; only for the writer."""
    found = fetch_first(connection, "SELECT dataset_id FROM dataset WHERE name = ?", [name])
    if found:
        return int(found[0])
    dataset_id = next_id(connection, "dataset")
    fetch_all(connection, "INSERT INTO dataset VALUES (?, ?, now())", [dataset_id, name])
    return dataset_id


def insert_records(
    connection: duckdb.DuckDBPyConnection,
    dataset_id: int,
    source_id: int,
    records: Iterable[DatasetRow | Rejected | RowBlock],
) -> tuple[int, int]:
    """Insert a stream of records; returns the numbers of rows kept and rejected."""
    last = fetch_first(
        connection, "SELECT coalesce(max(row_number), 0) FROM dataset_row WHERE dataset_id = ?", [dataset_id]
    )
    first_number = int(last[0]) + 1 if last else 1
    kept = rejected = 0
    for block in _read_ahead(row_blocks(records)):
        if block.rows.num_rows:
            _insert_rows(connection, dataset_id, source_id, first_number + kept, block.rows)
        if block.rejected:
            _insert_rejections(connection, source_id, block.rejected)
        kept += block.rows.num_rows
        rejected += len(block.rejected)
    return kept, rejected


def _read_ahead(blocks: Iterator[RowBlock]) -> Iterator[RowBlock]:
    """The same blocks, each read by another thread while the previous one is being written."""
    with ThreadPoolExecutor(1, thread_name_prefix="import-reader") as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block


def _insert_rows(
    connection: duckdb.DuckDBPyConnection, dataset_id: int, source_id: int, first_number: int, rows: pa.Table
) -> None:
    numbers = np.arange(first_number, first_number + rows.num_rows)
    # Relations: the memory of a registered table is held until the transaction (the whole import) ends, and the view of
    # `relation.query` is removed after a failed statement, which hides its error.
    new_rows = connection.from_arrow(rows.append_column("row_number", pa.array(numbers, pa.int64())))
    new_rows.project(f"{dataset_id:d}, row_number, example_id, domain, {source_id:d}, line, original").insert_into(
        "dataset_row"
    )
    insert_measures(new_rows.filter(_IS_NEW))
    new_rows.filter(_IS_NEW).project("example_id, conversation, prompt, response").insert_into("example")
    new_rows.filter("is_chosen").project(f"{dataset_id:d}, row_number, row_number + 1").insert_into("preference_pair")


def _insert_rejections(connection: duckdb.DuckDBPyConnection, source_id: int, rejections: tuple[Rejected, ...]) -> None:
    table = pa.table(
        {
            "line": pa.array([r.line for r in rejections], pa.int64()),
            "reason": [r.reason for r in rejections],
            "detail": [r.detail for r in rejections],
        }
    )
    connection.register("new_rejections", table)
    fetch_all(connection, "INSERT INTO rejection SELECT ?, line, reason, detail FROM new_rejections", [source_id])
    connection.unregister("new_rejections")
