"""Writing records in: rows, their examples (each once), and what was rejected, streamed in batches."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import duckdb
import pyarrow as pa

from core.examples import DatasetRow, Rejected
from core.store.connection import fetch_all, fetch_first, next_id

_INSERT_BATCH = 10_000
_EXAMPLE_ROWS = pa.schema(
    [
        ("row_number", pa.int64()),
        ("example_id", pa.string()),
        ("domain", pa.string()),
        ("line", pa.int64()),
        ("original", pa.binary()),
        ("conversation", pa.string()),
        ("prompt", pa.string()),
        ("response", pa.string()),
    ]
)


def ensure_dataset(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    found = fetch_first(connection, "SELECT dataset_id FROM dataset WHERE name = ?", [name])
    if found:
        return int(found[0])
    dataset_id = next_id(connection, "dataset")
    fetch_all(connection, "INSERT INTO dataset VALUES (?, ?, now())", [dataset_id, name])
    return dataset_id


def insert_records(
    connection: duckdb.DuckDBPyConnection, dataset_id: int, source_id: int, records: Iterable[DatasetRow | Rejected]
) -> tuple[int, int]:
    """Stream records in; returns how many rows were kept and how many rejected."""
    last = fetch_first(
        connection, "SELECT coalesce(max(row_number), 0) FROM dataset_row WHERE dataset_id = ?", [dataset_id]
    )
    first_number = int(last[0]) + 1 if last else 1
    kept = rejected = 0
    stream = iter(records)
    while batch := list(islice(stream, _INSERT_BATCH)):
        rows = [record for record in batch if isinstance(record, DatasetRow)]
        rejections = [record for record in batch if isinstance(record, Rejected)]
        if rows:
            _insert_rows(connection, dataset_id, source_id, first_number + kept, rows)
        if rejections:
            table = pa.table(
                {
                    "line": pa.array([r.line for r in rejections], pa.int64()),
                    "reason": [r.reason for r in rejections],
                    "detail": [r.detail for r in rejections],
                }
            )
            connection.register("new_rejections", table)
            fetch_all(
                connection, "INSERT INTO rejection SELECT ?, line, reason, detail FROM new_rejections", [source_id]
            )
            connection.unregister("new_rejections")
        kept += len(rows)
        rejected += len(rejections)
    return kept, rejected


def _insert_rows(
    connection: duckdb.DuckDBPyConnection, dataset_id: int, source_id: int, first_number: int, rows: list[DatasetRow]
) -> None:
    columns: list[list[Any]] = [[] for _ in _EXAMPLE_ROWS]
    for number, row in enumerate(rows, first_number):
        example = row.example
        values = (
            number,
            str(example.example_id),
            row.domain,
            row.line,
            row.original,
            example.to_json(),
            example.prompt,
            example.response,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    connection.register("new_rows", pa.table(columns, schema=_EXAMPLE_ROWS))
    fetch_all(
        connection,
        "INSERT INTO dataset_row SELECT ?, row_number, example_id::UUID, domain, ?, line, original FROM new_rows",
        [dataset_id, source_id],
    )
    fetch_all(
        connection,
        """
        INSERT INTO example
        SELECT DISTINCT ON (id) example_id::UUID AS id, conversation, prompt, response FROM new_rows
        WHERE example_id::UUID NOT IN (SELECT example_id FROM example)
        """,
    )
    connection.unregister("new_rows")
