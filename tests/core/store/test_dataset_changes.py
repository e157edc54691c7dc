"""Datasets are renamed, merged, removed and restored whole, and losses outlive it all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.errors import NameTaken, NotFound
from core.store import (
    Store,
    merge_dataset,
    purge_dataset,
    removed_datasets,
    rename_dataset,
    restore_dataset,
    set_dataset_aside,
)
from core.workspace.maintenance.checking import check_workspace
from tests.fakes import ScoredRecord, add_scored_records

TABLES = ("dataset", "source", "dataset_row", "rejection", "run", "run_loss", "removed_dataset", "removed_run")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The datasets "space" (two rows, run "planets") and "sea" (three rows, of which one is also in space; run
    "ships")."""
    with Store.open(tmp_path / "workspace", "a test") as opened:
        add_scored_records(opened, [ScoredRecord("chat", 2.0, 1.0), ScoredRecord("math", 2.0, 0.5)])
        add_scored_records(
            opened,
            [ScoredRecord("chat", 2.0, 1.0), *(ScoredRecord("fish", 1.0, 0.5, response=f"fish {n}") for n in "ab")],
            run="ships",
            dataset="sea",
            source="sea.jsonl",
        )
        yield opened


def findings(store: Store) -> list[str]:
    return [finding.sentence for finding in check_workspace(store, lambda _: None)]


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    tables = [*TABLES, *(str(store.run(name)["table"]) for (name,) in store.rows("SELECT name FROM run"))]
    return {table: sorted(store.rows(f"SELECT COLUMNS(*)::VARCHAR FROM {table}"), key=str) for table in tables}


def test_a_renamed_dataset_keeps_its_rows_and_runs(store: Store) -> None:
    rename_dataset(store, "space", " cosmos ")
    assert store.run("planets")["dataset"] == "cosmos"
    with pytest.raises(NotFound, match="There are: cosmos, sea"):
        store.dataset_id("space")
    assert findings(store) == []


def test_a_dataset_gets_no_name_that_another_has(store: Store) -> None:
    with pytest.raises(NameTaken, match="'sea' exists already"):
        rename_dataset(store, "space", "sea")
    with pytest.raises(NameTaken, match="needs a name"):
        rename_dataset(store, "space", "  ")
    rename_dataset(store, "space", "space")


def test_a_removed_dataset_is_restored_as_it_was(store: Store, tmp_path: Path) -> None:
    before = content(store)
    dataset_id = set_dataset_aside(store, "space")
    with pytest.raises(NotFound):
        store.run("planets")
    (removed,) = removed_datasets(store)
    assert (removed.name, removed.rows, removed.runs, removed.merged_into) == ("space", 2, 1, None)
    assert findings(store) == []
    store.close()
    with Store.open(tmp_path / "workspace", "the next server") as again:
        assert restore_dataset(again, dataset_id) == "space"
        assert content(again) == before
        assert removed_datasets(again) == []


def test_what_can_be_restored_keeps_its_ids(store: Store) -> None:
    removed = set_dataset_aside(store, "sea")
    add_scored_records(store, [ScoredRecord("chat", 2.0, 1.0)], run="ships", dataset="lake", source="lake.jsonl")
    restore_dataset(store, removed)
    assert store.dataset_id("lake") != store.dataset_id("sea")
    assert [store.run(name)["dataset"] for name in ("ships", "ships restored")] == ["lake", "sea"]
    assert findings(store) == []


def test_a_dataset_is_not_restored_over_another_of_its_name(store: Store) -> None:
    removed = set_dataset_aside(store, "sea")
    rename_dataset(store, "space", "sea")
    with pytest.raises(NameTaken, match="'sea' exists already"):
        restore_dataset(store, removed)
    rename_dataset(store, "sea", "space")
    restore_dataset(store, removed)
    with pytest.raises(NotFound, match="restored or deleted already"):
        restore_dataset(store, removed)


def test_a_purged_dataset_leaves_only_its_losses(store: Store) -> None:
    losses = store.rows("SELECT count(*) FROM loss")
    table = store.run("ships")["table"]
    dataset_id = set_dataset_aside(store, "sea")
    purge_dataset(store, dataset_id)
    for name in ("dataset", "source", "dataset_row", "run"):
        assert store.rows(f"SELECT count(*) FROM {name} WHERE dataset_id = ?", [dataset_id]) == [(0,)]
    assert store.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]) == []
    assert store.rows("SELECT count(*) FROM loss") == losses
    assert findings(store) == []


def test_merging_appends_rows_with_the_losses_that_are_known(store: Store) -> None:
    merge_dataset(store, "sea", "space")
    table = store.run("planets")["table"]
    assert store.rows(f"SELECT row_number, domain, learnability, not_scored FROM {table} ORDER BY 1") == [
        (1, "chat", 0.5, False),
        (2, "math", 0.75, False),
        (3, "chat", 0.5, False),
        (4, "fish", 0.5, False),
        (5, "fish", 0.5, False),
    ]
    assert store.rows("SELECT name, row_count, rejected_count FROM source WHERE dataset_id = 1 ORDER BY source_id") == [
        ("s.jsonl", 2, 1),
        ("sea.jsonl", 3, 1),
    ]
    (removed,) = removed_datasets(store)
    assert (removed.name, removed.merged_into) == ("sea", "space")
    assert findings(store) == []


def test_rows_merged_without_losses_are_not_scored_yet(store: Store) -> None:
    store.add_source("new", "new.jsonl", "jsonl", "sha", {}, [])
    sets = {role: store.ensure_loss_set(f"other {role}", "plain text", role) for role in ("base", "reference")}
    store.save_run("unscored", "sea", sets, {"base": "other"})
    merge_dataset(store, "space", "sea")
    table = store.run("unscored")["table"]
    assert store.rows(f"SELECT count(*), count_if(not_scored) FROM {table}") == [(5, 5)]


def test_a_merge_is_undone(store: Store) -> None:
    before = content(store)
    restore_dataset(store, merge_dataset(store, "sea", "space"))
    assert content(store) == before
    assert findings(store) == []


def test_a_merge_whose_target_is_gone_is_restored_without_it(store: Store) -> None:
    merged = merge_dataset(store, "sea", "space")
    target = set_dataset_aside(store, "space")
    restore_dataset(store, merged)
    restore_dataset(store, target)
    assert store.rows(
        "SELECT name, count(*) FROM dataset JOIN dataset_row USING (dataset_id) GROUP BY ALL ORDER BY 1"
    ) == [
        ("sea", 3),
        ("space", 5),
    ]
    assert findings(store) == []


def test_a_dataset_is_not_merged_into_itself(store: Store) -> None:
    with pytest.raises(NameTaken, match="into itself"):
        merge_dataset(store, "sea", "sea")
