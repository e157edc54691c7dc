"""Saved recipes: a selection's JSON under a name, with a summary of its result at that time."""

import json
from typing import Any

import duckdb

from ..data.errors import NameTaken
from .connection import fetch_all
from .store import Store


def save_recipe(
    store: Store, name: str, recipe: dict[str, Any], summary: dict[str, Any], replace: bool = False
) -> None:
    """Save a recipe under a name. Raises `NameTaken` if the name holds another recipe, unless `replace`."""
    text = json.dumps(recipe, sort_keys=True, ensure_ascii=False)
    found = store.rows("SELECT recipe FROM selection WHERE name = ?", [name])
    if found and found[0][0] != text and not replace:
        raise NameTaken(f"A selection named {name!r} exists with another recipe. Choose another name.")

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        fetch_all(connection, "DELETE FROM selection WHERE name = ?", [name])
        fetch_all(connection, "INSERT INTO selection VALUES (?, ?, ?, now())", [name, text, json.dumps(summary)])

    store.write(change)


def saved_recipe(store: Store, name: str) -> dict[str, Any]:
    """The recipe saved under a name. Raises `NotFound`."""
    return dict(json.loads(store.named("selection", "recipe", name)))


def rename_recipe(store: Store, name: str, new_name: str) -> None:
    """Rename a saved recipe. Raises `NotFound`, or `NameTaken` if the new name exists."""
    store.named("selection", "name", name)
    if name == new_name:
        return
    if store.rows("SELECT 1 FROM selection WHERE name = ?", [new_name]):
        raise NameTaken(f"A selection named {new_name!r} exists already. Choose another name.")
    store.write(
        lambda connection: fetch_all(connection, "UPDATE selection SET name = ? WHERE name = ?", [new_name, name])
    )


def remove_recipe(store: Store, name: str) -> dict[str, Any]:
    """Remove a saved recipe and return it, so that it can be restored; files exported from it stay."""
    recipe = saved_recipe(store, name)
    store.write(lambda connection: fetch_all(connection, "DELETE FROM selection WHERE name = ?", [name]))
    return recipe
