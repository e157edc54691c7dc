"""A restore that is killed at any of its renames is completed when the workspace is next opened; one that fails is
undone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.errors import StoreUnusable, WriteFailed
from core.store import Store
from core.workspace.maintenance.backups import back_up, restore
from core.workspace.maintenance.checking import check_workspace
from tests.command_line import ROOT
from tests.core.store.test_store_faults import CRASH
from tests.core.system.test_two_writers import killed_at_rename
from tests.faults import failing_disk

RESTORE = """
from pathlib import Path
from core.workspace.maintenance.backups import restore
restore(*map(Path, sys.argv[1:]))
"""
OLD_RECIPES, NEW_LOSS_SETS = 20, 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backup of a store, and a workspace whose owner was killed: its changes are in the WAL."""
    folder = tmp_path_factory.mktemp("restoring")
    with Store.open(folder / "earlier", "a test") as store:
        store.ensure_loss_set("model", "encoding", "a model")
        back_up(store, folder / "backup")
    subprocess.run([sys.executable, "-c", CRASH, str(folder / "workspace")], cwd=ROOT, check=False)
    assert (folder / "workspace" / "store.duckdb.wal").stat().st_size
    return folder


@pytest.fixture
def there(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "there"))


def counts(workspace: Path, leftovers: int = 0) -> tuple[int, int]:
    """Loss sets and recipes of the store, which is sound beside some temporary files; its recipes' run never was."""
    with Store.open(workspace, "a test") as store:
        findings = [found.check for found in check_workspace(store, lambda _: None) if found.check != "selections"]
        assert findings == ["leftovers"] * leftovers
        (found,) = store.rows("SELECT (SELECT count(*) FROM loss_set), (SELECT count(*) FROM selection)")
        return int(found[0]), int(found[1])


# The journal, the WAL moved aside, the database moved aside, the new database named.
@pytest.mark.parametrize("rename", [1, 2, 3, 4])
@pytest.mark.parametrize("next_step", ["open", "restore"])
def test_a_restore_that_was_killed_leaves_the_old_store_or_the_new_one(
    rename: int, next_step: str, there: Path
) -> None:
    workspace = there / "workspace"
    killed_at_rename(rename, RESTORE, workspace, there / "backup")
    assert (workspace / "store.duckdb").exists() == (rename < 4)
    if next_step == "restore":
        restore(workspace, there / "backup")
    with Store.open(workspace, "a test") as store:
        said = [notice for notice in store.opened.notices if "restore" in notice]
    assert len(said) == (rename > 1 and next_step == "open")
    asides = list(workspace.glob("store.replaced-*.duckdb"))
    assert len(asides) == (rename > 1) + (next_step == "restore")
    expected = (0, OLD_RECIPES) if (rename, next_step) == (1, "open") else (NEW_LOSS_SETS, 0)
    assert counts(workspace, leftovers=2 if rename == 1 else 0) == expected
    if asides:
        restore(there / "again", min(asides))
        assert (there / "again").exists()


def test_a_restore_killed_before_its_record_is_removed_does_nothing_twice(there: Path) -> None:
    workspace = there / "workspace"
    restore(workspace, there / "backup")
    fields = {"new": ".store.duckdb.77.0123456789abcdef.tmp", "old": "store.replaced-x.duckdb", "changes": 1}
    (workspace / "store.restoring").write_text(json.dumps(fields), encoding="utf-8")
    assert counts(workspace) == (NEW_LOSS_SETS, 0)
    assert not (workspace / "store.restoring").exists()


def test_a_restore_that_fails_leaves_the_old_store_and_nothing_else(there: Path) -> None:
    before = sorted(path.name for path in (there / "workspace").iterdir())
    with failing_disk(there / "counted") as disk:
        restore(there / "counted", there / "backup")
    refused = 0
    for point in range(1, disk.points + 3):  # here an old database and its WAL are renamed too
        workspace = Path(shutil.copytree(there / "workspace", there / f"workspace {point}"))
        try:
            with failing_disk(workspace, point):
                restore(workspace, there / "backup")
        except (WriteFailed, StoreUnusable):
            if not (workspace / "store.restoring").exists():  # else the new one was in its place already
                assert sorted(path.name for path in workspace.iterdir()) == before
                assert counts(workspace) == (0, OLD_RECIPES)
                refused += 1
                continue
        assert counts(workspace) == (NEW_LOSS_SETS, 0)
    assert refused >= 8


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"new": 1, "old": null, "changes": 0}', '{"new": "x"}'])
def test_a_record_of_a_restore_that_cannot_be_read_is_said(content: str, there: Path) -> None:
    workspace = there / "workspace"
    (workspace / "store.restoring").write_text(content, encoding="utf-8")
    before = (workspace / "store.duckdb").read_bytes()
    with pytest.raises(StoreUnusable, match="A restore was interrupted, and its record"):
        Store.open(workspace, "a test")
    assert (workspace / "store.duckdb").read_bytes() == before


def test_a_record_of_a_restore_names_no_file_outside_the_workspace(there: Path) -> None:
    workspace, outside = there / "workspace", there / "outside"
    shutil.copyfile(there / "backup", outside)
    fields = {"new": "../outside", "old": "../elsewhere", "changes": 1}
    (workspace / "store.restoring").write_text(json.dumps(fields), encoding="utf-8")
    Store.open(workspace, "a test").close()
    assert outside.exists()
    assert not (there / "elsewhere").exists()
