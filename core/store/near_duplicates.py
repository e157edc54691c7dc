"""Near-duplicates in the store: groups of nearly identical examples of a dataset, by similarity threshold.

A search compared texts, or embeddings: then it has their key (`core.store.embedding_files`).
"""

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from ..data.errors import NotFound
from ..data.version import COMMAND
from .connection import fetch_all, fetch_first, next_id
from .store import Store

_COMPARED = "WHERE dataset_id = ? AND threshold = ? AND embeddings IS NOT DISTINCT FROM ?"
GROUPS_SCHEMA = pa.schema([("example_id", pa.string()), ("group_number", pa.int64())])
"""Members of groups of two or more; group_number from 1, the largest group first."""


def rounded(threshold: float) -> float:
    """A threshold rounded for storage, so that 0.8 is found however it was computed."""
    return round(threshold, 4)


@dataclass(frozen=True, slots=True)
class NearDuplicateSet:
    """One search of a dataset. `threshold`: minimum Jaccard similarity of a link. `example_count`: unique examples of
    the dataset at that time; `grouped_examples` of them are in `group_count` groups, the largest of size
    `largest_group`. `stale`: the dataset has changed since."""

    near_duplicate_set_id: int
    threshold: float
    example_count: int
    group_count: int
    grouped_examples: int
    largest_group: int
    created_at: datetime
    stale: bool


def save_near_duplicates(
    store: Store, dataset: str, threshold: float, example_count: int, groups: pa.Table, embeddings: str | None = None
) -> int:
    """Save a search (`groups` of `GROUPS_SCHEMA`), replacing an earlier one with that dataset and threshold that
    compared the same.

    Returns its near_duplicate_set_id. Raises `NotFound` if there is no such dataset.
    """
    dataset_id, kept_by = store.dataset_id(dataset), rounded(threshold)

    def change(connection: duckdb.DuckDBPyConnection) -> int:
        known = fetch_first(
            connection,
            f"SELECT near_duplicate_set_id FROM near_duplicate_set {_COMPARED}",
            [dataset_id, kept_by, embeddings],
        )
        set_id = next_id(connection, "near_duplicate_set")
        for table in ("near_duplicate", "near_duplicate_set") if known else ():
            fetch_all(connection, f"DELETE FROM {table} WHERE near_duplicate_set_id = ?", list(known or ()))
        fetch_all(
            connection,
            "INSERT INTO near_duplicate_set VALUES (?, ?, ?, ?, now(), ?)",
            [set_id, dataset_id, kept_by, example_count, embeddings],
        )
        connection.register("new_groups", groups.cast(GROUPS_SCHEMA))
        fetch_all(
            connection,
            "INSERT INTO near_duplicate SELECT ?, example_id::UUID, group_number FROM new_groups ORDER BY group_number",
            [set_id],
        )
        connection.unregister("new_groups")
        return set_id

    return store.write(change)


def near_duplicate_sets(store: Store, dataset: str, embeddings: str | None = None) -> list[NearDuplicateSet]:
    """The saved searches of a dataset, newest first: of texts, or of the embeddings of that key. Raises `NotFound` if
    there is no such dataset."""
    dataset_id = store.dataset_id(dataset)
    found = store.rows(
        """
        SELECT near_duplicate_set_id, threshold, example_count, epoch(created_at),
            count(DISTINCT group_number), coalesce(sum(size), 0), coalesce(max(size), 0)
        FROM near_duplicate_set LEFT JOIN (
            SELECT near_duplicate_set_id, group_number, count(*) AS size FROM near_duplicate GROUP BY ALL
        ) USING (near_duplicate_set_id)
        WHERE dataset_id = ? AND embeddings IS NOT DISTINCT FROM ? GROUP BY ALL ORDER BY near_duplicate_set_id DESC
        """,
        [dataset_id, embeddings],
    )
    now = count_examples(store, dataset) if found else 0
    return [
        NearDuplicateSet(
            near_duplicate_set_id=set_id,
            threshold=threshold,
            example_count=example_count,
            group_count=group_count,
            grouped_examples=int(grouped),
            largest_group=int(largest),
            created_at=datetime.fromtimestamp(seconds, UTC),
            stale=example_count != now,
        )
        for set_id, threshold, example_count, seconds, group_count, grouped, largest in found
    ]


def near_duplicate_set(store: Store, dataset: str, threshold: float, embeddings: str | None = None) -> NearDuplicateSet:
    """The search of a dataset at a threshold, of texts or of the embeddings of that key. Raises `NotFound` with
    instructions if there is none."""
    set_id = near_duplicate_set_id(store, dataset, threshold, embeddings)
    searches = near_duplicate_sets(store, dataset, embeddings)
    return next(found for found in searches if found.near_duplicate_set_id == set_id)


def near_duplicate_set_id(store: Store, dataset: str, threshold: float, embeddings: str | None = None) -> int:
    """Id of the search of a dataset at a threshold, of texts or of the embeddings of that key. Raises `NotFound` with
    instructions if there is none."""
    found = store.rows(
        f"SELECT near_duplicate_set_id FROM near_duplicate_set {_COMPARED}",
        [store.dataset_id(dataset), rounded(threshold), embeddings],
    )
    if not found and embeddings is not None:
        raise NotFound(
            f"The dataset {dataset!r} has no search of this run's embeddings at threshold {threshold:g} yet. Find them "
            f"with: {COMMAND} near-duplicates --dataset {shlex.quote(dataset)} --threshold {threshold:g} --run RUN"
        )
    if not found:
        raise NotFound(
            f"The dataset {dataset!r} has no near-duplicate search at threshold {threshold:g} yet. "
            "Find them on the Curate page under Near-duplicates, or with: "
            f"{COMMAND} near-duplicates --dataset {shlex.quote(dataset)} --threshold {threshold:g}"
        )
    return int(found[0][0])


def count_examples(store: Store, dataset: str) -> int:
    """Number of unique examples of a dataset: rows with the same conversation count once."""
    sql = "SELECT count(DISTINCT example_id) FROM dataset_row WHERE dataset_id = ?"
    return int(store.rows(sql, [store.dataset_id(dataset)])[0][0])
