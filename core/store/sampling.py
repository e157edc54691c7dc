"""A stratified sample of a dataset as a dataset of its own, for a quick look."""

import json
from typing import Any

import duckdb

from ..data.errors import NameTaken
from .connection import fetch_all, next_id
from .insertion import ensure_dataset
from .preference_pairs import REJECTED_ROWS
from .store import Store

SAMPLE_ROWS = 500
_SEED = "quick look"

_SAMPLED = f"""
    CREATE TEMP TABLE sampled AS
    WITH ranked AS (
        SELECT row_number, domain,
            row_number() OVER (PARTITION BY domain ORDER BY hash(row_number, ?), row_number) AS place
        FROM dataset_row
        WHERE dataset_id = ? AND row_number NOT IN ({REJECTED_ROWS})
    )
    SELECT row_number FROM ranked
    ORDER BY (place - 0.5) / count(*) OVER (PARTITION BY domain), domain, place LIMIT ?
"""
"""Of each domain the same share, to the row: its rows in random order are spread evenly over 0 to 1. A preference pair
is drawn by its chosen row."""
_NEW_NUMBER = "(SELECT count(*) FROM sampled s WHERE s.row_number <= {})"


def sample_name(dataset: str) -> str:
    """The name of a dataset's sample."""
    return f"{dataset}-sample"


def sample_dataset(store: Store, dataset: str, rows: int = SAMPLE_ROWS) -> str:
    """Copy so many random rows of a dataset, the same share of each domain, to a new dataset; returns its name. A
    preference pair counts as one row and is copied whole.

    The same dataset gives the same sample. Raises `NotFound`, or `NameTaken` if there is a dataset of that name.
    """
    dataset_id, name = store.dataset_id(dataset), sample_name(dataset)
    if store.rows("SELECT 1 FROM dataset WHERE name = ?", [name]):
        raise NameTaken(f"A dataset named {name!r} exists. Score it, or remove it on the Data page first.")

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        fetch_all(connection, _SAMPLED, [_SEED, dataset_id, dataset_id, rows])
        pairs = "preference_pair JOIN sampled ON chosen_row = row_number WHERE dataset_id = ?"
        fetch_all(connection, f"INSERT INTO sampled SELECT rejected_row FROM {pairs}", [dataset_id])
        sample_id = ensure_dataset(connection, name)
        sources = _copy_sources(connection, dataset_id, sample_id, {"sample_of": dataset, "sample_rows": rows})
        for source_id, copy_id in sources.items():
            fetch_all(
                connection,
                f"""
                INSERT INTO dataset_row
                SELECT ?, {_NEW_NUMBER.format("r.row_number")}, example_id, domain, ?, line, original
                FROM dataset_row r SEMI JOIN sampled USING (row_number)
                WHERE dataset_id = {dataset_id:d} AND source_id = ? ORDER BY row_number
                """,
                [sample_id, copy_id, source_id],
            )
            fetch_all(
                connection,
                "UPDATE source SET row_count = (SELECT count(*) FROM dataset_row WHERE source_id = $1) "
                "WHERE source_id = $1",
                [copy_id],
            )
        numbers = f"{_NEW_NUMBER.format('chosen_row')}, {_NEW_NUMBER.format('rejected_row')}"
        fetch_all(connection, f"INSERT INTO preference_pair SELECT {sample_id:d}, {numbers} FROM {pairs}", [dataset_id])
        fetch_all(connection, "DROP TABLE sampled")

    store.write(change)
    return name


def _copy_sources(
    connection: duckdb.DuckDBPyConnection, dataset_id: int, sample_id: int, more: dict[str, Any]
) -> dict[int, int]:
    """Copies of the sources for the sample, by the id of the original. Their options say what they are a sample of, so
    that the whole file can still be imported beside them."""
    copies: dict[int, int] = {}
    found = fetch_all(
        connection,
        "SELECT source_id, name, format, sha256, options FROM source WHERE dataset_id = ? ORDER BY source_id",
        [dataset_id],
    )
    for source_id, name, file_format, sha256, options in found:
        copies[source_id] = next_id(connection, "source")
        fields = json.dumps({**json.loads(options), **more}, sort_keys=True, ensure_ascii=False)
        fetch_all(
            connection,
            "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, 0, 0, now())",
            [copies[source_id], sample_id, name, file_format, sha256, fields],
        )
    return copies
