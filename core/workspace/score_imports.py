"""Imports scores that were computed elsewhere: reads the file, joins it to a dataset's rows, says what was saved."""

from collections.abc import Sequence
from pathlib import Path

from ..importing.score_files import read_score_file
from ..store import ImportedScore, ScoreOrigin, Store, save_imported_scores


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
    store.dataset_id(dataset)
    found = read_score_file(path, joined_by, columns, key)
    origin = ScoreOrigin(found.name, found.sha256, found.joined_by, found.columns, found.in_order)
    return save_imported_scores(store, dataset, origin, found.table, replace)


def score_sentence(score: ImportedScore) -> str:
    """An imported score in one line: its rows, those without a value, and its origin."""
    unmatched = f" {score.unmatched:,} rows of the file match no row." if score.unmatched else ""
    return (
        f"{score.name}: {score.rows:,} rows have a value, {score.rows_without:,} have none; column {score.file_column} "
        f"of {score.file} (SHA-256 {score.sha256[:12]}), joined by {score.joined_by}.{unmatched}"
    )
