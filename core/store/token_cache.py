"""Cached token losses, by loss set and example, so that viewing them again needs no model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from ..data.reader import Reader
from .connection import fetch_all
from .store import Store


def cached_tokens(store: Reader, loss_sets: Sequence[int], example_id: str) -> dict[int, dict[str, Any]]:
    """The cached tokens of an example, by loss set; loss sets without them are omitted."""
    found = store.rows(
        "SELECT loss_set_id, tokens FROM token_loss WHERE example_id = ?::UUID AND list_contains(?, loss_set_id)",
        [example_id, list(loss_sets)],
    )
    return {int(loss_set_id): json.loads(tokens) for loss_set_id, tokens in found}


def save_tokens(store: Store, example_id: str, tokens: Mapping[int, dict[str, Any]]) -> None:
    """Save an example's tokens by loss set, replacing earlier ones."""

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        for loss_set_id, fields in tokens.items():
            key = [loss_set_id, example_id]
            fetch_all(connection, "DELETE FROM token_loss WHERE loss_set_id = ? AND example_id = ?::UUID", key)
            fetch_all(connection, "INSERT INTO token_loss VALUES (?, ?::UUID, ?)", [*key, json.dumps(fields)])

    store.write(change)
