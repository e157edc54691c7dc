"""A store that an earlier release made opens, keeps what it holds, and leaves a copy of what it was."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from core.data.errors import StoreUnusable
from core.store import STORE_VERSION, Store
from core.store.change_record import write_record

STORES = Path(__file__).parents[1].joinpath("stores")
ROW = "00000000-0000-0000-0000-00000000000"


@pytest.fixture(params=range(1, STORE_VERSION))
def version(request: pytest.FixtureRequest) -> int:
    """Every version that was released before this one."""
    return int(request.param)


@pytest.fixture
def old_workspace(tmp_path: Path, version: int) -> Path:
    """A workspace of that version: two rows of one dataset, scored, with some scored table of that time."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with duckdb.connect(str(workspace / "store.duckdb")) as connection:
        connection.execute((STORES / f"version_{version}.sql").read_text(encoding="utf-8"))
        connection.execute(f"""
            INSERT INTO store_version VALUES ({version});
            INSERT INTO dataset VALUES (1, 'planets', now());
            INSERT INTO source VALUES (1, 1, 'planets.jsonl', 'alpaca', 'abc', '{{}}', 2, 0, now());
            INSERT INTO example VALUES ('{ROW}1', '{{}}', 'Name one.', 'Mars'), ('{ROW}2', '{{}}', 'And?', 'Venus');
            INSERT INTO dataset_row VALUES
                (1, 1, '{ROW}1', 'near', 1, 1, 'x'::BLOB), (1, 2, '{ROW}2', 'far', 1, 2, 'y'::BLOB);
            INSERT INTO loss_set VALUES (1, 'base', 'e', 'base', 0.0), (2, 'tuned', 'e', 'tuned', 0.0);
            INSERT INTO loss (loss_set_id, example_id, nll_sum, token_count, truncated, reason) VALUES
                (1, '{ROW}1', 4.0, 2, false, NULL), (1, '{ROW}2', 6.0, 2, false, NULL),
                (2, '{ROW}1', 1.0, 2, false, NULL), (2, '{ROW}2', 3.0, 2, false, NULL);
            INSERT INTO shard (name, row_count, ingested_at) VALUES ('job-1/1', 2, now());
            CREATE TABLE scored_1 AS SELECT 1 AS row_number;
        """)
        if version < 5:
            connection.execute("INSERT INTO run VALUES (1, 'planets-tuned', 1, 1, 2, '{}', now())")
        else:
            connection.execute("""
                INSERT INTO run VALUES (1, 'planets-tuned', 1, '{}', now());
                INSERT INTO run_loss VALUES (1, 'base', 1), (1, 'reference', 2);
            """)
    if version >= 3:
        write_record(workspace, 0, closed=True)
    return workspace


def columns(store: Store) -> list[tuple[Any, ...]]:
    return store.rows(
        "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    )


def test_a_store_of_an_earlier_version_opens_with_its_runs(old_workspace: Path) -> None:
    with Store.open(old_workspace, "a test") as store:
        assert store.rows("SELECT version FROM store_version") == [(STORE_VERSION,)]
        assert store.rows("SELECT row_number, learnability, trained_on, duplicate FROM scored_1 ORDER BY 1") == [
            (1, 0.75, False, False),
            (2, 0.5, False, False),
        ]
        assert store.ingested_shards("job-1/") == {"job-1/1"}


def test_losses_of_an_earlier_version_have_no_end_of_turn_and_are_not_missing(old_workspace: Path) -> None:
    with Store.open(old_workspace, "a test") as store:
        assert store.rows("SELECT DISTINCT end_nll_sum, end_token_count FROM loss") == [(None, None)]
        scores = "base_end_nll_sum, learnability_without_end, end_share_of_gain"
        assert store.rows(f"SELECT DISTINCT {scores} FROM scored_1") == [(None, None, None)]
        assert store.missing_count("planets", 1) == store.missing_count("planets", 2) == 0


def test_a_migrated_store_has_the_tables_of_a_new_one(old_workspace: Path, tmp_path: Path) -> None:
    with Store.open(old_workspace, "a test") as migrated, Store.open(tmp_path / "new", "a test") as new:
        assert [row for row in columns(migrated) if row[0] != "scored_1"] == columns(new)


def test_the_copy_put_aside_holds_what_was_there(old_workspace: Path, version: int) -> None:
    Store.open(old_workspace, "a test").close()
    with duckdb.connect(str(old_workspace / f"store.version-{version}.duckdb"), read_only=True) as copy:
        assert copy.execute("SELECT version FROM store_version").fetchall() == [(version,)]
        assert copy.execute("SELECT count(*) FROM loss").fetchall() == [(4,)]


def test_a_store_that_cannot_be_migrated_stays_as_it_was(old_workspace: Path, version: int) -> None:
    with duckdb.connect(str(old_workspace / "store.duckdb")) as connection:
        connection.execute("ALTER TABLE loss RENAME COLUMN truncated TO cut")
        before = connection.execute("SELECT table_name, column_name FROM duckdb_columns() ORDER BY ALL").fetchall()
    refusal = rf"could not be upgraded to version {STORE_VERSION} .*Nothing was changed; there is a copy in"
    with pytest.raises(StoreUnusable, match=refusal):
        Store.open(old_workspace, "a test")
    with duckdb.connect(str(old_workspace / "store.duckdb")) as connection:
        assert connection.execute("SELECT version FROM store_version").fetchall() == [(version,)]
        after = connection.execute("SELECT table_name, column_name FROM duckdb_columns() ORDER BY ALL").fetchall()
        assert after == before
