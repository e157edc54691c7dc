"""Joins the rows of a file to a dataset's: by row number, example id, or hash of the text."""

from dataclasses import dataclass

import pyarrow as pa

from ..data.errors import SourceUnreadable
from .store import Store

TEXT_HASH = "sha256(prompt || chr(10) || response)"
"""SQL of an example's text hash: SHA-256 [hex] of its prompt, a line feed and its response, in UTF-8."""

_KEYS = {
    "row": "SELECT row_number, example_id, row_number AS key FROM dataset_row WHERE dataset_id = $1",
    "example-id": "SELECT row_number, example_id, example_id::VARCHAR AS key FROM dataset_row WHERE dataset_id = $1",
    "text-hash": f"SELECT row_number, example_id, {TEXT_HASH} AS key FROM dataset_row JOIN example USING (example_id) "
    "WHERE dataset_id = $1",
}


@dataclass(frozen=True, slots=True)
class JoinedFile:
    """A file's name, and what its rows are joined by. `in_order`: it has no keys, and is joined row by row."""

    name: str
    joined_by: str
    in_order: bool = False


def joined_rows(store: Store, dataset: str, file: JoinedFile, table: pa.Table) -> tuple[pa.Table, int]:
    """What a file holds of a dataset's rows: `row_number`, `example_id` (text) and the columns of `table` but its
    `key`, by row number; and how many keys have no row.

    Raises `SourceUnreadable` for a file whose rows are not the dataset's.
    """
    dataset_id = store.dataset_id(dataset)
    rows = int(store.rows("SELECT count(*) FROM dataset_row WHERE dataset_id = ?", [dataset_id])[0][0])
    if file.in_order and table.num_rows != rows:
        raise SourceUnreadable(
            f"{file.name} has {table.num_rows:,} rows and no row numbers, and the dataset {dataset!r} has {rows:,} "
            "rows. Choose the file of this dataset, or add a column row_number."
        )
    joined = store.arrow(
        f"""
        SELECT k.row_number, k.example_id::VARCHAR AS example_id, g.*
        FROM ({_KEYS[file.joined_by]}) k JOIN given g ON g.key = k.key ORDER BY k.row_number
        """,
        [dataset_id],
        given=table,
    )
    unmatched = table.num_rows - len(joined["key"].unique())
    if not joined.num_rows or (file.joined_by == "row" and unmatched):
        raise SourceUnreadable(
            f"{unmatched:,} of the {table.num_rows:,} rows of {file.name} match no row of the dataset {dataset!r} by "
            f"{file.joined_by}. Choose the file of this dataset, or another key."
        )
    return joined.drop_columns(["key"]), unmatched
