"""Renames, merges, removes and restores whole datasets. A removed dataset is kept aside, with its runs, until it is
purged."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from ..data.errors import NameTaken, NotFound
from .connection import fetch_all, fetch_first, next_id
from .imported_scores import delete_values_without_rows
from .scored_table import build_scored_tables
from .store import Store, delete_dataset

_RUN_COLUMNS = "run_id, name, dataset_id, description, created_at"


@dataclass(frozen=True, slots=True)
class RemovedDataset:
    """A dataset that was removed and can be restored. `rows` and `runs` are counts. `merged_into`: the dataset that got
    a copy of its rows in a merge; None if it was not merged, or if that dataset is gone too."""

    dataset_id: int
    name: str
    rows: int
    runs: int
    removed_at: datetime
    merged_into: str | None


def checked_dataset_name(name: str) -> str:
    """A name that a person gave a dataset, without the white space around it. Raises `NameTaken` if nothing is left."""
    name = name.strip()
    if not name:
        raise NameTaken("A dataset needs a name. Give it one.")
    return name


def rename_dataset(store: Store, name: str, new_name: str) -> None:
    """Rename a dataset; its rows and runs stay. Raises `NotFound`, or `NameTaken` if the new name exists or is
    empty."""
    dataset_id, new_name = store.dataset_id(name), checked_dataset_name(new_name)
    if name == new_name:
        return
    _check_free(store, new_name)
    sql = "UPDATE dataset SET name = ? WHERE dataset_id = ?"
    store.write(lambda connection: fetch_all(connection, sql, [new_name, dataset_id]))


def set_dataset_aside(store: Store, name: str) -> int:
    """Remove a dataset and its runs so that `restore_dataset` can bring them back; returns its id. Losses stay."""
    dataset_id = store.dataset_id(name)
    store.write(lambda connection: _set_aside(connection, dataset_id))
    return dataset_id


def merge_dataset(store: Store, name: str, into: str) -> int:
    """Append the files and rows of a dataset to another one, then set it aside with its runs; returns its id.

    Runs of `into` stay: their tables get the new rows, with the losses that are known. Raises `NotFound`, or
    `NameTaken` for a dataset and itself.
    """
    dataset_id, into_id = store.dataset_id(name), store.dataset_id(into)
    if dataset_id == into_id:
        raise NameTaken(f"The dataset {name!r} cannot be merged into itself. Choose another dataset.")

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        copies = _copy_sources(connection, dataset_id, into_id)
        build_scored_tables(connection, into_id)
        _set_aside(connection, dataset_id, into_id, copies)

    store.write(change)
    return dataset_id


def restore_dataset(store: Store, dataset_id: int) -> str:
    """Bring back a dataset that was set aside, with its runs; returns its name. The rows that a merge copied are taken
    out of the other dataset again.

    A run whose name another run has got meanwhile comes back as "NAME restored". Raises `NotFound`, or `NameTaken` if
    another dataset has its name.
    """
    removed = _removed(store, dataset_id)
    _check_free(store, removed.name)
    store.write(lambda connection: _bring_back(connection, dataset_id))
    store.complete_scored_tables()
    return removed.name


def purge_dataset(store: Store, dataset_id: int) -> None:
    """Delete a dataset that was set aside, with its rows and runs, for good. Losses and merged copies stay. Raises
    `NotFound`."""
    _removed(store, dataset_id)

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        fetch_all(
            connection, f"INSERT INTO run SELECT {_RUN_COLUMNS} FROM removed_run WHERE dataset_id = ?", [dataset_id]
        )
        for table in ("removed_run", "removed_dataset"):
            fetch_all(connection, f"DELETE FROM {table} WHERE dataset_id = ?", [dataset_id])
        delete_dataset(connection, dataset_id)

    store.write(change)


def removed_datasets(store: Store) -> list[RemovedDataset]:
    """Datasets that were set aside and not purged, last removed first."""
    found = store.rows(
        """
        SELECT dataset_id, name, (SELECT count(*) FROM dataset_row r WHERE r.dataset_id = removed.dataset_id),
            (SELECT count(*) FROM removed_run run WHERE run.dataset_id = removed.dataset_id), epoch_us(removed_at),
            (SELECT dataset.name FROM dataset WHERE dataset.dataset_id = removed.merged_into)
        FROM removed_dataset removed ORDER BY removed_at DESC, dataset_id DESC
        """
    )
    return [
        RemovedDataset(dataset_id, name, rows, runs, datetime.fromtimestamp(microseconds / 1e6, UTC), merged_into)
        for dataset_id, name, rows, runs, microseconds, merged_into in found
    ]


def _removed(store: Store, dataset_id: int) -> RemovedDataset:
    for removed in removed_datasets(store):
        if removed.dataset_id == dataset_id:
            return removed
    raise NotFound("This dataset was restored or deleted already. Reload the page.")


def _check_free(store: Store, name: str) -> None:
    if store.rows("SELECT 1 FROM dataset WHERE name = ?", [name]):
        raise NameTaken(f"A dataset named {name!r} exists already. Choose another name, or rename that one first.")


def _set_aside(
    connection: duckdb.DuckDBPyConnection,
    dataset_id: int,
    merged_into: int | None = None,
    copies: Sequence[int] = (),
) -> None:
    fetch_all(
        connection,
        """
        INSERT INTO removed_dataset
        SELECT dataset_id, name, created_at, now(), ?, ?::INTEGER[] FROM dataset WHERE dataset_id = ?
        """,
        [merged_into, list(copies), dataset_id],
    )
    fetch_all(connection, f"INSERT INTO removed_run SELECT {_RUN_COLUMNS} FROM run WHERE dataset_id = ?", [dataset_id])
    for table in ("run", "dataset"):
        fetch_all(connection, f"DELETE FROM {table} WHERE dataset_id = ?", [dataset_id])


def _bring_back(connection: duckdb.DuckDBPyConnection, dataset_id: int) -> None:
    fetch_all(
        connection,
        "INSERT INTO dataset SELECT dataset_id, name, created_at FROM removed_dataset WHERE dataset_id = ?",
        [dataset_id],
    )
    fetch_all(
        connection,
        """
        INSERT INTO run
        SELECT run_id, if(name IN (SELECT name FROM run), name || ' restored', name), dataset_id, description,
            created_at
        FROM removed_run WHERE dataset_id = ?
        """,
        [dataset_id],
    )
    merged = fetch_first(
        connection, "SELECT merged_into, merged_sources FROM removed_dataset WHERE dataset_id = ?", [dataset_id]
    )
    into, sources = merged or (None, [])
    # Where the other dataset was removed too, it keeps its copy: it may be restored by itself.
    if sources and fetch_first(connection, "SELECT 1 FROM dataset WHERE dataset_id = ?", [into]):
        for table in ("dataset_row", "rejection", "source"):
            fetch_all(connection, f"DELETE FROM {table} WHERE source_id IN (SELECT unnest(?::INTEGER[]))", [sources])
        delete_values_without_rows(connection, into)
        fetch_all(
            connection,
            "DELETE FROM preference_pair WHERE dataset_id = $1 "
            "AND chosen_row NOT IN (SELECT row_number FROM dataset_row WHERE dataset_id = $1)",
            [into],
        )
        build_scored_tables(connection, into)
    for table in ("removed_run", "removed_dataset"):
        fetch_all(connection, f"DELETE FROM {table} WHERE dataset_id = ?", [dataset_id])


def _copy_sources(connection: duckdb.DuckDBPyConnection, dataset_id: int, into_id: int) -> list[int]:
    """Copy the files and rows of a dataset to the end of another one; returns the ids of the new sources."""
    copies: list[int] = []
    last = fetch_first(
        connection, "SELECT coalesce(max(row_number), 0) FROM dataset_row WHERE dataset_id = ?", [into_id]
    )
    after = int(last[0]) if last else 0
    for (source_id,) in fetch_all(
        connection, "SELECT source_id FROM source WHERE dataset_id = ? ORDER BY source_id", [dataset_id]
    ):
        copy = next_id(connection, "source")
        for sql in (
            f"INSERT INTO source SELECT {copy:d}, {into_id:d}, * EXCLUDE (source_id, dataset_id) FROM source",
            f"INSERT INTO rejection SELECT {copy:d}, * EXCLUDE (source_id) FROM rejection",
            f"INSERT INTO dataset_row SELECT {into_id:d}, row_number + {after:d}, example_id, domain, {copy:d}, line, "
            "original FROM dataset_row",
        ):
            fetch_all(connection, f"{sql} WHERE source_id = ?", [source_id])
        copies.append(copy)
    fetch_all(
        connection,
        f"INSERT INTO preference_pair SELECT {into_id:d}, chosen_row + {after:d}, rejected_row + {after:d} "
        "FROM preference_pair WHERE dataset_id = ?",
        [dataset_id],
    )
    return copies
