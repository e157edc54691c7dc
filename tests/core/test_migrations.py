"""A store that an earlier release made opens, keeps what it holds, and leaves a copy of what it was."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.errors import StoreUnusable
from core.store import STORE_VERSION, Store

VERSION_1 = Path(__file__).with_name("stores") / "version_1.sql"
ROW = "00000000-0000-0000-0000-00000000000"


@pytest.fixture
def old_workspace(tmp_path: Path) -> Path:
    """A workspace of version 1: two rows of one dataset, scored, with the scored table of that time."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with duckdb.connect(str(workspace / "store.duckdb")) as connection:
        connection.execute(VERSION_1.read_text(encoding="utf-8"))
        connection.execute(f"""
            INSERT INTO store_version VALUES (1);
            INSERT INTO dataset VALUES (1, 'planets', now());
            INSERT INTO source VALUES (1, 1, 'planets.jsonl', 'alpaca', 'abc', '{{}}', 2, 0, now());
            INSERT INTO example VALUES ('{ROW}1', '{{}}', 'Name one.', 'Mars'), ('{ROW}2', '{{}}', 'And?', 'Venus');
            INSERT INTO dataset_row VALUES
                (1, 1, '{ROW}1', 'near', 1, 1, 'x'::BLOB), (1, 2, '{ROW}2', 'far', 1, 2, 'y'::BLOB);
            INSERT INTO loss_set VALUES (1, 'base', 'e', 'base', 0.0), (2, 'tuned', 'e', 'tuned', 0.0);
            INSERT INTO loss VALUES
                (1, '{ROW}1', 4.0, 2, false, NULL), (1, '{ROW}2', 6.0, 2, false, NULL),
                (2, '{ROW}1', 1.0, 2, false, NULL), (2, '{ROW}2', 3.0, 2, false, NULL);
            INSERT INTO run VALUES (1, 'planets-tuned', 1, 1, 2, '{{}}', now());
            CREATE TABLE scored_1 AS SELECT 1 AS row_number;
        """)
    return workspace


def columns(store: Store) -> list[tuple[Any, ...]]:
    return store.rows(
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    )


def test_a_store_of_the_first_version_opens_with_its_runs(old_workspace: Path) -> None:
    with Store.open(old_workspace, "a test") as store:
        assert store.rows("SELECT version FROM store_version") == [(STORE_VERSION,)]
        assert store.rows("SELECT row_number, learnability, trained_on, duplicate FROM scored_1 ORDER BY 1") == [
            (1, 0.75, False, False),
            (2, 0.5, False, False),
        ]


def test_a_migrated_store_has_the_tables_of_a_new_one(old_workspace: Path, tmp_path: Path) -> None:
    with Store.open(old_workspace, "a test") as migrated, Store.open(tmp_path / "new", "a test") as new:
        assert [row for row in columns(migrated) if row[0] != "scored_1"] == columns(new)


def test_the_copy_put_aside_holds_what_was_there(old_workspace: Path) -> None:
    Store.open(old_workspace, "a test").close()
    with duckdb.connect(str(old_workspace / "store.version-1.duckdb"), read_only=True) as copy:
        assert copy.execute("SELECT version FROM store_version").fetchall() == [(1,)]
        assert copy.execute("SELECT count(*) FROM loss").fetchall() == [(4,)]


def test_a_store_that_cannot_be_migrated_stays_as_it_was(old_workspace: Path) -> None:
    with duckdb.connect(str(old_workspace / "store.duckdb")) as connection:
        connection.execute("CREATE TABLE token_loss (surprise INTEGER)")
    with pytest.raises(StoreUnusable, match=r"could not be brought to version 2 .*Nothing was changed; a copy is in"):
        Store.open(old_workspace, "a test")
    with duckdb.connect(str(old_workspace / "store.duckdb")) as connection:
        assert connection.execute("SELECT version FROM store_version").fetchall() == [(1,)]
        assert connection.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'near_duplicate'"
        ).fetchall() == [(0,)]
