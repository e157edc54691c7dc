"""Migrations: upgrades a store of an older version to this version, after saving a copy."""

import shutil
from pathlib import Path

import duckdb

from ..data.errors import StoreUnusable
from ..system.atomic_files import replaced_durably
from .connection import STORE_VERSION, connect, fetch_all
from .earlier_masks import earlier_masks_notice
from .files import database_path, log_path
from .scored_table import build_scored_table
from .unsound_losses import drop_unsound_losses

_MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "CREATE TABLE trained_example (model_fingerprint VARCHAR NOT NULL, example_id UUID NOT NULL)",
        "CREATE TABLE token_loss (loss_set_id INTEGER NOT NULL, example_id UUID NOT NULL, tokens VARCHAR NOT NULL)",
        "CREATE TABLE near_duplicate_set (near_duplicate_set_id INTEGER NOT NULL, dataset_id INTEGER NOT NULL, "
        "threshold DOUBLE NOT NULL, example_count BIGINT NOT NULL, created_at TIMESTAMPTZ NOT NULL)",
        "CREATE TABLE near_duplicate (near_duplicate_set_id INTEGER NOT NULL, example_id UUID NOT NULL, "
        "group_number BIGINT NOT NULL)",
    ),
    2: (
        "ALTER TABLE shard ADD COLUMN loss_set_id INTEGER",
        "ALTER TABLE shard ADD COLUMN nll_total DOUBLE",
        "ALTER TABLE shard ADD COLUMN sha256 VARCHAR",
        "CREATE TABLE store_change (changes BIGINT NOT NULL)",
        "INSERT INTO store_change VALUES (0)",
    ),
    3: (
        "ALTER TABLE loss ADD COLUMN left_out FLOAT",
        "CREATE TABLE template_day (day VARCHAR NOT NULL)",
    ),
    4: (
        "CREATE TABLE run_loss (run_id INTEGER NOT NULL, role VARCHAR NOT NULL, loss_set_id INTEGER NOT NULL)",
        "INSERT INTO run_loss SELECT run_id, 'base', base_set FROM run",
        "INSERT INTO run_loss SELECT run_id, 'reference', reference_set FROM run",
        "ALTER TABLE run DROP COLUMN base_set",
        "ALTER TABLE run DROP COLUMN reference_set",
    ),
    5: (
        "ALTER TABLE loss ADD COLUMN end_nll_sum DOUBLE",
        "ALTER TABLE loss ADD COLUMN end_token_count INTEGER",
        "CREATE TABLE text_measure (example_id UUID NOT NULL, repeated_share FLOAT, copied_share FLOAT)",
    ),
    6: (
        "CREATE TABLE removed_dataset (dataset_id INTEGER NOT NULL, name VARCHAR NOT NULL, created_at TIMESTAMPTZ NOT "
        "NULL, removed_at TIMESTAMPTZ NOT NULL, merged_into INTEGER, merged_sources INTEGER[] NOT NULL)",
        "CREATE TABLE removed_run (run_id INTEGER NOT NULL, name VARCHAR NOT NULL, dataset_id INTEGER NOT NULL, "
        "description VARCHAR NOT NULL, created_at TIMESTAMPTZ NOT NULL)",
        "CREATE TABLE draft (person VARCHAR NOT NULL, run_id INTEGER NOT NULL, first_step BIGINT NOT NULL, "
        "step BIGINT NOT NULL, last_step BIGINT NOT NULL, changed_at TIMESTAMPTZ NOT NULL)",
        "CREATE TABLE draft_part (person VARCHAR NOT NULL, run_id INTEGER NOT NULL, part VARCHAR NOT NULL, "
        "step BIGINT NOT NULL, content VARCHAR NOT NULL)",
    ),
    7: (
        "CREATE TABLE imported_score (imported_score_id INTEGER NOT NULL, dataset_id INTEGER NOT NULL, "
        "name VARCHAR NOT NULL, file VARCHAR NOT NULL, file_column VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, "
        "joined_by VARCHAR NOT NULL, unmatched_count BIGINT NOT NULL, imported_at TIMESTAMPTZ NOT NULL)",
        "CREATE TABLE imported_value (imported_score_id INTEGER NOT NULL, row_number BIGINT NOT NULL, "
        "value DOUBLE NOT NULL)",
        "ALTER TABLE text_measure ADD COLUMN prompt_key UBIGINT",
        "UPDATE text_measure SET prompt_key = md5_number_lower(prompt) FROM example "
        "WHERE example.example_id = text_measure.example_id",
    ),
    8: ("ALTER TABLE near_duplicate_set ADD COLUMN embeddings VARCHAR",),
    9: (
        "CREATE TABLE preference_pair (dataset_id INTEGER NOT NULL, chosen_row BIGINT NOT NULL, "
        "rejected_row BIGINT NOT NULL)",
        "CREATE TABLE map_set (map_set_id INTEGER NOT NULL, dataset_id INTEGER NOT NULL, key VARCHAR NOT NULL, "
        "embeddings VARCHAR NOT NULL, description VARCHAR NOT NULL, place_count BIGINT NOT NULL, "
        "created_at TIMESTAMPTZ NOT NULL)",
        "CREATE TABLE map_place (map_set_id INTEGER NOT NULL, example_id UUID NOT NULL, x FLOAT NOT NULL, "
        "y FLOAT NOT NULL)",
        "CREATE TABLE run_embeddings (run_id INTEGER NOT NULL, spec VARCHAR NOT NULL)",
    ),
}
"""Statements that upgrade a store from the version in the key to the next one."""

_CHANGES = {3: (drop_unsound_losses, earlier_masks_notice)}
"""Changes that need code, run after that version's statements; each returns sentences for the user."""


def open_database(workspace: Path) -> tuple[duckdb.DuckDBPyConnection, list[str]]:
    """The workspace's database, migrated to this version if it is older, and sentences for the user on what changed.
    Raises `StoreUnusable`."""
    path = database_path(workspace)
    connection, version = connect(workspace)
    if version == STORE_VERSION:
        return connection, []
    connection.close()
    if version not in _MIGRATIONS:
        raise StoreUnusable(
            f"The store {path} has version {version}; this program reads version {STORE_VERSION}. "
            "Use the program version that wrote it, or choose another --workspace."
        )
    copy = _put_copy_aside(path, version)
    connection, _ = connect(workspace)
    try:
        notices = _migrate(connection, version, workspace)
    except duckdb.Error as error:
        connection.close()
        raise StoreUnusable(
            f"The store {path} could not be upgraded to version {STORE_VERSION} ({str(error).splitlines()[0]}). "
            f"Nothing was changed; there is a copy in {copy}."
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection, notices


def _put_copy_aside(path: Path, version: int) -> Path:
    """Copy the database while no connection is open: reading the file with an open connection would lose DuckDB's
    lock."""
    copy = path.with_name(f"store.version-{version}.duckdb")
    try:
        for source, target in ((path, copy), (log_path(path), log_path(copy))):
            if source.exists():
                with replaced_durably(target) as temporary:
                    shutil.copyfile(source, temporary)
    except OSError as error:
        raise StoreUnusable(
            f"The store {path} has version {version} and cannot be copied before it is upgraded "
            f"({error.strerror}). Free as much space as the store takes, then start again."
        ) from error
    return copy


def _migrate(connection: duckdb.DuckDBPyConnection, version: int, workspace: Path) -> list[str]:
    """All steps in one transaction; then every run's scored table is rebuilt with the columns of this version."""
    notices: list[str] = []
    fetch_all(connection, "BEGIN")
    for step in range(version, STORE_VERSION):
        for statement in _MIGRATIONS[step]:
            fetch_all(connection, statement)
        for change in _CHANGES.get(step, ()):
            notices += change(connection, workspace)
    for (run_id,) in fetch_all(connection, "SELECT run_id FROM run"):
        build_scored_table(connection, run_id)
    fetch_all(connection, "UPDATE store_version SET version = ?", [STORE_VERSION])
    fetch_all(connection, "COMMIT")
    return notices
