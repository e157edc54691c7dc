"""Imports and removes scores that were computed elsewhere: reads the file, joins it to a dataset's rows, says what was
saved; values that a trial ranks by stay as they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from ..data.errors import NameTaken, UserError
from ..data.loss_roles import IMPORTED
from ..evidence.trial_folder import load_trial, trial_names
from ..importing.score_files import read_score_file
from ..selection import Selection
from ..store import (
    ImportedScore,
    ScoreOrigin,
    Store,
    imported_scores,
    is_same_score,
    remove_imported_score,
    save_imported_scores,
)


def import_scores(
    store: Store,
    dataset: str,
    path: Path,
    joined_by: str,
    columns: Sequence[str] = (),
    key: str | None = None,
    replace: bool = False,
) -> list[ImportedScore]:
    """Import columns of a file (`read_score_file`) as scores of a dataset's runs. Raises `SourceUnreadable`,
    `NameTaken` or `NotFound`; nothing is written then."""
    found = read_score_file(path, joined_by, columns, key)
    origin = ScoreOrigin(found.name, found.sha256, found.joined_by, found.columns, found.in_order)
    return save_scores(store, dataset, origin, found.table, replace)


def save_scores(
    store: Store, dataset: str, origin: ScoreOrigin, table: pa.Table, replace: bool = False
) -> list[ImportedScore]:
    """`save_imported_scores`, unless a trial uses one that would change."""
    known = {score.name: (score.sha256, score.file_column) for score in imported_scores(store, dataset)}
    for name, column in origin.columns.items():
        if replace and known.get(name, (origin.sha256, column)) != (origin.sha256, column):
            check_in_no_trial(store, dataset, name)
    return save_imported_scores(store, dataset, origin, table, replace)


def has_score(store: Store, dataset: str, name: str, origin: ScoreOrigin, replace: bool) -> bool:
    """Whether the dataset has the very score. Raises `NameTaken` if it has another one of that name that may not be
    replaced."""
    known = next((score for score in imported_scores(store, dataset) if score.name == name), None)
    if known is None:
        return False
    if is_same_score(known, origin):
        return True
    if not replace:
        raise NameTaken(
            f"The dataset {dataset!r} has a score {name} already, from {known.file}. Replace it, or give another name."
        )
    check_in_no_trial(store, dataset, name)
    return False


def remove_score(store: Store, dataset: str, name: str) -> None:
    """Remove an imported score, by its name with or without its beginning. Raises `NotFound`, and `NameTaken` if a
    trial uses it."""
    check_in_no_trial(store, dataset, name if name.startswith(IMPORTED) else IMPORTED + name)
    remove_imported_score(store, dataset, name)


def check_in_no_trial(store: Store, dataset: str, name: str) -> None:
    """A trial's plan names scores; with other values under a name, its arms would not be those that were planned."""
    for trial, run, recipe in _trial_recipes(store.workspace):
        limits = recipe.filter.ranges, recipe.filter.regions
        used = {recipe.score, *recipe.added, *(bounds.column for bounds in limits[0])}
        used |= {axis for area in limits[1] for axis in (area.x, area.y)}
        if name in used and _dataset_of(store, run) in (dataset, None):
            raise NameTaken(
                f"The trial {trial!r} uses the score {name}, so its values cannot change. Import the column under "
                "another name."
            )


def _trial_recipes(workspace: Path) -> Iterator[tuple[str, str, Selection]]:
    """The recipes of all trials whose plan can be read, with the names of trial and run."""
    for name in trial_names(workspace):
        try:
            plan = load_trial(workspace, name).plan
        except UserError:
            continue
        yield from ((name, plan.run, arm.recipe) for arm in plan.arms if arm.recipe)


def _dataset_of(store: Store, run: str) -> str | None:
    """None: the run is not there any more."""
    try:
        return str(store.run(run)["dataset"])
    except UserError:
        return None


def score_sentence(score: ImportedScore) -> str:
    """An imported score in one line: its rows, those without a value, and its origin."""
    unmatched = f" {score.unmatched:,} rows of the file match no row." if score.unmatched else ""
    return (
        f"{score.name}: {score.rows:,} rows have a value, {score.rows_without:,} have none; column {score.file_column} "
        f"of {score.file} (SHA-256 {score.sha256[:12]}), joined by {score.joined_by}.{unmatched}"
    )
