"""Backups: whole while the store is in use, taken back without losing what was there, and never half."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.data.errors import StoreUnusable, WorkspaceLocked, WriteFailed
from core.store import Store
from core.system import asking
from core.system.ownership import is_locked
from core.workspace.answering import Answering
from core.workspace.maintenance import backups
from core.workspace.maintenance.backups import back_up, restore
from core.workspace.maintenance.checking import check_workspace
from tests import command_line


def change(store: Store) -> int:
    return store.ensure_loss_set(f"model {store.changes}", "encoding", "a model")


def loss_sets(store: Store) -> int:
    return int(store.rows("SELECT count(*) FROM loss_set")[0][0])


def test_a_backup_taken_back_gives_the_store_of_then_and_keeps_the_one_of_now(
    scored_store: Store, tmp_path: Path
) -> None:
    workspace, file = scored_store.workspace, tmp_path / "backup"
    before = scored_store.rows("SELECT * FROM scored_1 ORDER BY row_number")
    report = back_up(scored_store, file)
    assert report.changes == scored_store.changes
    change(scored_store)
    scored_store.close()
    aside = restore(workspace, file)
    assert aside is not None
    with Store.open(workspace, "a test") as store:
        assert store.rows("SELECT * FROM scored_1 ORDER BY row_number") == before
        assert loss_sets(store) == 2
        assert check_workspace(store, lambda _: None) == []
    restore(workspace, aside)
    with Store.open(workspace, "a test") as store:
        assert loss_sets(store) == 3
    assert len(list(workspace.glob("store.replaced-*.duckdb"))) == 2


def test_a_backup_made_while_the_store_is_written_and_read_holds_one_moment(
    scored_store: Store, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            change(scored_store)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        reports = [back_up(scored_store, tmp_path / f"backup {number}") for number in range(3)]
    finally:
        stop.set()
        writer.join()
    for number, report in enumerate(reports):
        restore(tmp_path / f"w{number}", Path(report.path))
        with Store.open(tmp_path / f"w{number}", "a test") as store:
            # Every change but those of the fixture made one loss set: a moment between two changes, and no other.
            assert loss_sets(store) - store.changes == loss_sets(scored_store) - scored_store.changes
            assert check_workspace(store, lambda _: None) == []


def test_the_owner_keeps_its_lock_on_the_database_through_a_backup(scored_store: Store, tmp_path: Path) -> None:
    """A process that opened and closed the file itself would lose it, and another could write."""
    back_up(scored_store, tmp_path / "backup")
    code = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(scored_store.workspace / "store.duckdb")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Could not set lock on file" in other.stderr


def test_a_backup_overwrites_nothing(scored_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_bytes(b"something else")
    with pytest.raises(WriteFailed, match="exists and is not overwritten"):
        back_up(scored_store, file)
    assert file.read_bytes() == b"something else"
    with pytest.raises(WriteFailed, match="does not exist"):
        back_up(scored_store, tmp_path / "nowhere" / "backup")


@pytest.mark.parametrize("content", [b"", b"no database", b"x" * 50_000])
def test_what_is_no_backup_is_not_taken_back(scored_store: Store, tmp_path: Path, content: bytes) -> None:
    workspace, file = scored_store.workspace, tmp_path / "backup"
    scored_store.close()
    before = (workspace / "store.duckdb").read_bytes()
    file.write_bytes(content)
    with pytest.raises(StoreUnusable):
        restore(workspace, file)
    with pytest.raises(StoreUnusable, match="There is no file"):
        restore(workspace, tmp_path / "nothing")
    assert (workspace / "store.duckdb").read_bytes() == before
    assert not list(workspace.glob(".*"))
    assert not is_locked(workspace / "store.lock")


def test_a_store_in_use_is_not_replaced(scored_store: Store, tmp_path: Path) -> None:
    report = back_up(scored_store, tmp_path / "backup")
    with pytest.raises(WorkspaceLocked):
        restore(scored_store.workspace, Path(report.path))


def test_a_restored_older_backup_is_not_taken_for_a_store_that_lost_changes(
    scored_store: Store, tmp_path: Path
) -> None:
    report = back_up(scored_store, tmp_path / "backup")
    for _ in range(5):
        change(scored_store)
    scored_store.close()
    restore(scored_store.workspace, Path(report.path))
    Store.open(scored_store.workspace, "a test").close()


def test_the_command_asks_the_dashboard_that_holds_the_store(scored_store: Store, tmp_path: Path) -> None:
    with Answering(scored_store):
        report = command_line.result(scored_store.workspace, "backup", tmp_path / "backup")
        assert report["changes"] == scored_store.changes
        refused = command_line.run(scored_store.workspace, "backup", tmp_path / "backup")
    assert refused.returncode == 1
    assert "exists and is not overwritten" in refused.stderr
    assert list((scored_store.workspace / "requests").iterdir()) == []
    restore(tmp_path / "w", tmp_path / "backup")
    Store.open(tmp_path / "w", "a test").close()


def test_an_owner_that_does_not_answer_is_said(
    scored_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_ANSWER_SECONDS", 0.2)
    with pytest.raises(WorkspaceLocked, match="It is busy and has not answered"):
        backups.back_up_workspace(scored_store.workspace, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
