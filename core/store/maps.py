"""Maps in the store: where each example of a dataset lies in two dimensions, by its embeddings.

The places are in the database and not beside the embeddings, because filters, recipes and exports join them with rows,
also in a copy of the database. A map is never changed: a filter names its key, and finds the same rows again.
"""

import json
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from ..data.errors import NotFound
from ..data.map_columns import map_columns
from .connection import fetch_all, fetch_first, next_id
from .store import Store

PLACES_SCHEMA = pa.schema([("example_id", pa.string()), ("x", pa.float32()), ("y", pa.float32())])


@dataclass(frozen=True, slots=True)
class MapSet:
    """One map of a dataset's examples. `description`: library, seed, fitted, rule and examples, as the job was asked.
    `place_count`: examples with a place."""

    key: str
    description: dict[str, Any]
    place_count: int

    @property
    def columns(self) -> tuple[str, str]:
        """The names by which a filter knows its x and y."""
        return map_columns(self.key)


def save_map(
    store: Store, dataset: str, key: str, embeddings: str, description: dict[str, Any], places: pa.Table
) -> None:
    """Save a map (`places` of `PLACES_SCHEMA`); one of that key that the dataset has already stays as it is. Raises
    `NotFound`."""
    dataset_id = store.dataset_id(dataset)

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        known = "SELECT 1 FROM map_set WHERE dataset_id = ? AND key = ?"
        if fetch_first(connection, known, [dataset_id, key]):
            return
        set_id, fields = next_id(connection, "map_set"), json.dumps(description, ensure_ascii=False)
        fetch_all(
            connection,
            "INSERT INTO map_set VALUES (?, ?, ?, ?, ?, ?, now())",
            [set_id, dataset_id, key, embeddings, fields, places.num_rows],
        )
        connection.register("new_places", places.cast(PLACES_SCHEMA))
        fetch_all(
            connection, "INSERT INTO map_place SELECT ?, example_id::UUID, x, y FROM new_places ORDER BY 2", [set_id]
        )
        connection.unregister("new_places")

    store.write(change)


def saved_maps(store: Store, dataset: str, embeddings: str) -> list[MapSet]:
    """The maps of a dataset by the embeddings of that key, newest first. Raises `NotFound`."""
    return _maps(store, dataset, "embeddings", embeddings)


def saved_map(store: Store, dataset: str, key: str) -> MapSet:
    """A dataset's map of that key. Raises `NotFound`."""
    for found in _maps(store, dataset, "key", key):
        return found
    raise NotFound(f"The dataset {dataset!r} has no map {key!r}.")


def _maps(store: Store, dataset: str, column: str, value: str) -> list[MapSet]:
    found = store.rows(
        f"SELECT key, description, place_count FROM map_set WHERE dataset_id = ? AND {column} = ? "
        "ORDER BY map_set_id DESC",
        [store.dataset_id(dataset), value],
    )
    return [MapSet(key, json.loads(description), count) for key, description, count in found]
