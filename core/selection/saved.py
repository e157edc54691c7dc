"""Saved selections: named recipes that can be listed, renamed, duplicated, removed and restored."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..data.errors import SelectionInvalid
from ..store import Store, remove_recipe, rename_recipe, save_recipe, saved_recipe
from .recipe import Selection
from .spread import with_embeddings
from .summary import Summary, select_summary


@dataclass(frozen=True, slots=True)
class RemovedSelection:
    """A removed selection, as it was saved, so that it can be restored."""

    name: str
    recipe: dict[str, Any]
    summary: dict[str, Any]


def save_selection(
    store: Store, name: str, selection: Selection, replace_existing: bool = False, summary: Summary | None = None
) -> Summary:
    """Save a recipe with its current summary (`summary`, if already computed), and the embeddings by which it spreads.

    Raises `SelectionInvalid` for an empty name, and `NameTaken` if another recipe has this name, unless
    `replace_existing`.
    """
    name = _checked(name)
    summary = summary or select_summary(store, selection)
    recipe = with_embeddings(store, selection).to_fields()
    save_recipe(store, name, recipe, summary.to_fields(), replace=replace_existing)
    return summary


def saved_selection(store: Store, name: str) -> Selection:
    """The recipe saved under a name. Raises `NotFound`, which lists the existing names."""
    return Selection.from_fields(saved_recipe(store, name))


def saved_selection_names(store: Store) -> list[str]:
    """Names of the saved recipes, last saved first."""
    return [name for (name,) in store.rows("SELECT name FROM selection ORDER BY created_at DESC, name")]


def saved_selections(store: Store) -> pd.DataFrame:
    """The saved selections, last saved first: name, run, kept_rows, kept_tokens (as of saving), saved_at (UTC)."""
    found = store.frame(
        """
        SELECT name, recipe->>'$.run' AS run, (summary->>'$.kept_rows')::BIGINT AS kept_rows,
            (summary->>'$.kept_tokens')::BIGINT AS kept_tokens, epoch(created_at) AS saved_at
        FROM selection ORDER BY created_at DESC, name
        """
    )
    found["saved_at"] = pd.to_datetime(found["saved_at"], unit="s", utc=True)
    return found


def selections_of_run(store: Store, run: str) -> list[str]:
    """Names of the saved selections of a run, last saved first."""
    sql = "SELECT name FROM selection WHERE recipe->>'$.run' = ? ORDER BY created_at DESC, name"
    return [name for (name,) in store.rows(sql, [run])]


def rename_selection(store: Store, name: str, new_name: str) -> str:
    """Rename a saved selection; returns the new name. Raises `SelectionInvalid` for an empty name, and `NameTaken` if
    another selection has it."""
    new_name = _checked(new_name)
    rename_recipe(store, name, new_name)
    return new_name


def duplicate_selection(store: Store, name: str) -> str:
    """Save a copy of the recipe with its saved summary; returns the copy's name."""
    taken = set(saved_selection_names(store))
    copies = (f"{name} copy{f' {number}' if number > 1 else ''}" for number in range(1, len(taken) + 2))
    copy = next(candidate for candidate in copies if candidate not in taken)
    save_recipe(store, copy, saved_recipe(store, name), _saved_summary(store, name))
    return copy


def remove_selection(store: Store, name: str) -> RemovedSelection:
    """Remove a saved selection; returns it for `restore_selection`. Exported files stay."""
    summary = _saved_summary(store, name)
    return RemovedSelection(name, remove_recipe(store, name), summary)


def restore_selection(store: Store, removed: RemovedSelection) -> None:
    """Restore a removed selection, even if its run no longer exists. Raises `NameTaken` if another recipe now has its
    name."""
    save_recipe(store, removed.name, removed.recipe, removed.summary)


def _saved_summary(store: Store, name: str) -> dict[str, Any]:
    return dict(json.loads(store.named("selection", "summary", name)))


def _checked(name: str) -> str:
    if not name.strip():
        raise SelectionInvalid("The selection has no name. Give it one.")
    return name.strip()
