"""Scores that were computed elsewhere, in the store: each is a column of the scored tables of its dataset's runs.

Values are kept by row number, whatever they were joined by, so a row that was added later has none.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from ..data.errors import NameTaken, NotFound, SourceUnreadable
from ..data.listing import listed
from ..data.loss_roles import IMPORTED
from .connection import fetch_all, next_id
from .row_joins import JoinedFile, joined_rows
from .scored_table import build_scored_tables
from .store import Store


@dataclass(frozen=True, slots=True)
class ImportedScore:
    """One imported score of a dataset: `name` is its column, `file`, `file_column` and `sha256` (of the file) its
    origin. `rows` of the dataset have a value and `rows_without` have none; `unmatched` values of the file belong to no
    row."""

    name: str
    file: str
    file_column: str
    sha256: str
    joined_by: str
    rows: int
    rows_without: int
    unmatched: int
    imported_at: datetime

    def to_fields(self) -> dict[str, Any]:
        """As JSON fields."""
        return asdict(self) | {"imported_at": self.imported_at.isoformat(timespec="seconds")}


@dataclass(frozen=True, slots=True)
class ScoreOrigin:
    """Where scores come from: the file, its SHA-256, and what its rows are joined by. `columns`: the file's column of
    each score. `in_order`: the file has no keys, and is joined row by row."""

    file: str
    sha256: str
    joined_by: str
    columns: Mapping[str, str]
    in_order: bool = False


def save_imported_scores(
    store: Store, dataset: str, origin: ScoreOrigin, table: pa.Table, replace: bool = False
) -> list[ImportedScore]:
    """Add the scores of a file to a dataset and to the scored tables of its runs; returns them as they are saved.

    `table`: `key`, and one column for each of the origin's scores. The same scores of the same file change nothing.
    Raises `SourceUnreadable` for a file whose rows are not the dataset's, and `NameTaken` if the dataset has a score of
    that name from elsewhere, unless `replace`; nothing is written then.
    """
    dataset_id = store.dataset_id(dataset)
    names = list(origin.columns)
    known = {score.name: score for score in imported_scores(store, dataset)}
    if all(name in known and is_same_score(known[name], origin) for name in names):
        return [known[name] for name in names]
    if (taken := [name for name in names if name in known]) and not replace:
        raise NameTaken(
            f"The dataset {dataset!r} has a score {listed(taken)} already, from {known[taken[0]].file}. "
            "Replace it, or rename the column."
        )
    file = JoinedFile(origin.file, origin.joined_by, origin.in_order)
    matched, unmatched = joined_rows(store, dataset, file, table)
    if empty := [name for name in names if matched[name].null_count == matched.num_rows]:
        raise SourceUnreadable(
            f"The column {listed(origin.columns[name] for name in empty)} of {origin.file} has no value for any row of "
            f"{dataset!r}. Leave it out."
        )

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        for name in names:
            _delete(connection, dataset_id, name)
            _insert(connection, dataset_id, name, origin, matched, unmatched)
        build_scored_tables(connection, dataset_id)

    store.write(change)
    saved = {score.name: score for score in imported_scores(store, dataset)}
    return [saved[name] for name in names]


def imported_scores(store: Store, dataset: str) -> list[ImportedScore]:
    """The imported scores of a dataset, first imported first. Raises `NotFound`."""
    found = store.rows(
        """
        WITH counted AS (SELECT imported_score_id, count(*) AS rows FROM imported_value GROUP BY ALL)
        SELECT name, file, file_column, sha256, joined_by, coalesce(rows, 0),
            (SELECT count(*) FROM dataset_row r WHERE r.dataset_id = i.dataset_id) - coalesce(rows, 0),
            unmatched_count, epoch_us(imported_at)
        FROM imported_score i LEFT JOIN counted USING (imported_score_id)
        WHERE dataset_id = ? ORDER BY imported_score_id
        """,
        [store.dataset_id(dataset)],
    )
    return [ImportedScore(*(*values, datetime.fromtimestamp(at / 1e6, UTC))) for *values, at in found]


def remove_imported_score(store: Store, dataset: str, name: str) -> None:
    """Remove an imported score, by its name with or without its beginning. Raises `NotFound`, which lists those there
    are."""
    dataset_id, full = store.dataset_id(dataset), name if name.startswith(IMPORTED) else IMPORTED + name
    known = [score.name for score in imported_scores(store, dataset)]
    if full not in known:
        there = f"There are: {listed(known)}." if known else "It has none."
        raise NotFound(f"The dataset {dataset!r} has no imported score {name!r}. {there}")

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        _delete(connection, dataset_id, full)
        build_scored_tables(connection, dataset_id)

    store.write(change)


def delete_values_without_rows(connection: duckdb.DuckDBPyConnection, dataset_id: int) -> None:
    """Delete imported values of rows that a dataset no longer has: new rows will get their numbers. Only for the
    writer."""
    fetch_all(
        connection,
        """
        DELETE FROM imported_value WHERE imported_score_id IN (
            SELECT imported_score_id FROM imported_score WHERE dataset_id = $1
        ) AND row_number NOT IN (SELECT row_number FROM dataset_row WHERE dataset_id = $1)
        """,
        [dataset_id],
    )


def is_same_score(known: ImportedScore, origin: ScoreOrigin) -> bool:
    """Whether a dataset's score is the one that this origin has under its name."""
    given = (origin.sha256, origin.joined_by, origin.columns[known.name])
    return (known.sha256, known.joined_by, known.file_column) == given


def _delete(connection: duckdb.DuckDBPyConnection, dataset_id: int, name: str) -> None:
    ids = "SELECT imported_score_id FROM imported_score WHERE dataset_id = ? AND name = ?"
    fetch_all(connection, f"DELETE FROM imported_value WHERE imported_score_id IN ({ids})", [dataset_id, name])
    fetch_all(connection, "DELETE FROM imported_score WHERE dataset_id = ? AND name = ?", [dataset_id, name])


def _insert(
    connection: duckdb.DuckDBPyConnection,
    dataset_id: int,
    name: str,
    origin: ScoreOrigin,
    matched: pa.Table,
    unmatched: int,
) -> None:
    key = next_id(connection, "imported_score")
    origins = [key, dataset_id, name, origin.file, origin.columns[name], origin.sha256, origin.joined_by, unmatched]
    fetch_all(connection, "INSERT INTO imported_score VALUES (?, ?, ?, ?, ?, ?, ?, ?, now())", origins)
    connection.register("matched_scores", matched.select(["row_number", name]))
    fetch_all(
        connection,
        f"INSERT INTO imported_value SELECT {key:d}, row_number, {name} FROM matched_scores WHERE {name} IS NOT NULL",
    )
    connection.unregister("matched_scores")
