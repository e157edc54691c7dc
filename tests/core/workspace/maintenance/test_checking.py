"""`check` finds every kind of damage that can be done to a workspace, and nothing in one that is whole."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from core.data.errors import SettingInvalid
from core.exporting import export_bundle, export_selection, exports_folder
from core.models.resolving import PROVENANCE
from core.selection import Amount, Selection, save_selection
from core.store import Store
from core.workspace.maintenance.checking import CHECKS, Finding, check_workspace
from tests import command_line

RECIPE = Selection("planets", amount=Amount("rows", 5))
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def store(scored_store: Store) -> Store:
    """The run "planets", a saved selection, its export and bundle, and a reference."""
    save_selection(scored_store, "best", RECIPE)
    exports = exports_folder(scored_store.workspace)
    export_selection(scored_store, RECIPE, exports / "best.jsonl", None, False, False, "best")
    export_bundle(scored_store, RECIPE, exports / "bundle", "trl", "best")
    reference = scored_store.workspace / "models" / "taught"
    reference.mkdir(parents=True)
    (reference / "adapter.bin").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (reference / PROVENANCE).write_text(json.dumps({"files": {"adapter.bin": digest}}), encoding="utf-8")
    return scored_store


def findings(store: Store) -> list[Finding]:
    return check_workspace(store, lambda _: None)


def test_a_whole_workspace_has_no_findings(store: Store) -> None:
    assert findings(store) == []


DAMAGES: dict[str, tuple[str, str, str]] = {
    "a loss is gone": ("ledger", "DELETE FROM loss WHERE rowid = 0", "20 were ingested from shards"),
    "a loss is another": ("ledger", "UPDATE loss SET nll_sum = nll_sum + 0.001 WHERE rowid = 0", "add up to"),
    "a loss has come from nowhere": (
        "ledger",
        f"INSERT INTO loss VALUES (1, '{NOBODY}', 1.0, 1, false, NULL, 0, 0.5, 1)",
        "the store has 21 losses",
    ),
    "a loss is there twice": ("orphans", "INSERT INTO loss SELECT * FROM loss WHERE rowid = 0", "1 duplicate losses"),
    "an example is gone": ("orphans", "DELETE FROM example WHERE rowid = 0", "losses without an example"),
    "an example is there twice": (
        "orphans",
        "INSERT INTO example SELECT * FROM example WHERE rowid = 0",
        "1 duplicate examples",
    ),
    "a dataset is gone": ("orphans", "DELETE FROM dataset", "20 rows without a dataset"),
    "a source is gone": ("orphans", "DELETE FROM source", "20 rows without a source"),
    "a loss set is gone": ("orphans", "DELETE FROM loss_set WHERE loss_set_id = 2", "1 runs without a loss set"),
    "a row is gone": ("sources", "DELETE FROM dataset_row WHERE row_number = 20", "the store has 19"),
    "a row is numbered as another": (
        "orphans",
        "UPDATE dataset_row SET row_number = 1 WHERE row_number = 2",
        "1 duplicate row numbers",
    ),
    "a scored table is gone": ("scored tables", "DROP TABLE scored_1", "has no scored table"),
    "a scored table is of no run": ("scored tables", "CREATE TABLE scored_7 (x INTEGER)", "scored_7 belongs to no run"),
    "a scored table is stale": (
        "scored tables",
        "UPDATE scored_1 SET base_nll_sum = 0.5 WHERE row_number = 1",
        "other losses than the store in 1 rows",
    ),
    "a scored table has another end of turn": (
        "scored tables",
        "UPDATE scored_1 SET base_end_nll_sum = 0.5 WHERE row_number = 1",
        "other losses than the store in 1 rows",
    ),
    "a scored table lacks a row": ("scored tables", "DELETE FROM scored_1 WHERE row_number = 1", "has 19 rows"),
    "a run is gone": ("selections", "UPDATE run SET name = 'moons'", "belongs to the run 'planets', which is gone"),
    "an example has another text": (
        "example ids",
        "UPDATE example SET conversation = replace(conversation, 'a', 'e') WHERE rowid = 0",
        "1 examples have an id that does not match",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_in_the_store_is_found(store: Store, damage: str) -> None:
    check, sql, sentence = DAMAGES[damage]

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(sql)

    store.write(change)
    assert any(found.check == check and sentence in found.sentence for found in findings(store)), findings(store)


def spoil(path: str) -> Callable[[Path], object]:
    return lambda workspace: (workspace / path).write_bytes(b"other bytes")


def remove(path: str) -> Callable[[Path], object]:
    return lambda workspace: (workspace / path).unlink()


FILE_DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "an export is another": ("exports", spoil("exports/best.jsonl"), "best.jsonl has changed since it was written"),
    "an export is gone": ("exports", remove("exports/best.jsonl"), "best.jsonl is gone"),
    "a manifest is spoilt": ("exports", spoil("exports/best.jsonl.manifest.json"), "cannot be read. Export again"),
    "a bundle's file is another": ("exports", spoil("exports/bundle/scores.jsonl"), "has changed since it was written"),
    "weights are others": (
        "references",
        spoil("models/taught/adapter.bin"),
        "adapter.bin has changed since it was written",
    ),
    "weights are gone": ("references", remove("models/taught/adapter.bin"), "adapter.bin is gone"),
    "a reference is half": ("references", remove("models/taught/provenance.json"), "is an incomplete reference"),
    "a temporary file was left": ("leftovers", spoil("exports/.best.jsonl.4194399.tmp"), "an interrupted write"),
}


@pytest.mark.parametrize("damage", FILE_DAMAGES)
def test_damage_to_files_is_found(store: Store, damage: str) -> None:
    check, change, sentence = FILE_DAMAGES[damage]
    change(store.workspace)
    found = findings(store)
    assert [finding.check for finding in found] == [check]
    assert sentence in found[0].sentence


def test_half_a_job_and_a_spoilt_shard_are_found(store: Store) -> None:
    (store.workspace / "jobs" / "half").mkdir(parents=True)
    whole = store.workspace / "jobs" / "whole"
    (whole / "shards").mkdir(parents=True)
    (whole / "job.json").write_text('{"kind": "score"}', encoding="utf-8")
    (whole / "shards" / "one.arrow").write_bytes(b"spoilt")
    assert [finding.check for finding in findings(store)] == ["jobs", "jobs"]


def test_a_damaged_block_is_found_and_the_other_checks_go_on(store: Store) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "INSERT INTO rejection SELECT 1, range, md5(range::VARCHAR), md5((-range)::VARCHAR) FROM range(60000)"
        )

    store.write(fill)
    store.close()
    path = store.workspace / "store.duckdb"
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 255
    path.write_bytes(content)
    with Store.open(store.workspace, "a test") as again:
        found = findings(again)
    assert found[0].check == "blocks"
    assert "rejection cannot be read completely" in found[0].sentence


def test_the_command_prints_a_line_a_finding_and_ends_with_1(store: Store) -> None:
    store.close()
    whole = command_line.result(store.workspace, "check")
    assert whole["findings"] == []
    assert whole["checks"] == list(CHECKS)
    (store.workspace / "exports" / "best.jsonl").unlink()
    done = command_line.run(store.workspace, "check")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("exports: ")
    assert lines[1].startswith("1 findings in ")


def test_too_little_memory_for_one_check_hides_nothing_that_another_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_: Store) -> Iterator[str]:
        raise SettingInvalid("more memory")
        yield

    monkeypatch.setitem(CHECKS, "ledger", cannot)
    with pytest.raises(SettingInvalid, match="more memory"):
        findings(store)
    monkeypatch.setitem(CHECKS, "blocks", lambda _: iter(["damaged"]))
    assert findings(store) == [Finding("blocks", "damaged"), Finding("memory", "more memory")]
