"""A store whose record of changes is lost never opens as if nothing had been: with its log, that is told; without it,
the store is refused and left as it is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from core.data.errors import StoreUnusable
from core.store import Store
from core.store.change_record import read_record, record_path
from core.workspace.maintenance.backups import back_up, restore
from tests import command_line
from tests.core.store.test_store_faults import change, contents, crashed, workspace  # noqa: F401 (fixtures)
from tests.disk_order import disk_order

LOSSES: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "spoilt": lambda path: path.write_bytes(b'{"changes": 1e999, "closed": true, "written_at": 0}'),
    "nested": lambda path: path.write_bytes(b"[" * 100_000),
}


def lose_log(workspace: Path) -> None:  # noqa: F811
    (workspace / "store.duckdb.wal").unlink()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_store_that_lost_its_log_and_its_record_is_refused_and_left_as_it_is(
    workspace: Path,  # noqa: F811
    loss: str,
) -> None:
    lose_log(workspace)
    LOSSES[loss](workspace / "store.changes")
    before = contents(workspace)
    with pytest.raises(StoreUnusable, match=r"may have lost its last changes: .*\.wal is not there either"):
        Store.open(workspace, "a test")
    assert contents(workspace) == before
    done = command_line.run(workspace, "status")
    assert (done.returncode, "may have lost its last changes" in done.stderr) == (1, True)
    with Store.open(workspace, "a test", accept_loss=True) as store:
        change(store)
    with Store.open(workspace, "a test") as store:
        assert (store.changes, store.opened.notices) == (1, ())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_with_a_log_the_lost_record_is_told_once(workspace: Path, loss: str, share: float) -> None:  # noqa: F811
    log = workspace / "store.duckdb.wal"
    content = log.read_bytes()
    log.write_bytes(content[: max(1, int(len(content) * share))])
    LOSSES[loss](workspace / "store.changes")
    with Store.open(workspace, "a test") as store:
        (notice,) = store.opened.notices
        assert "it is not known whether the last changes are all there" in notice
    with Store.open(workspace, "a test") as store:
        assert store.opened.notices == ()


@pytest.mark.parametrize("fault", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_database_that_is_gone_with_its_record_is_not_made_anew(
    workspace: Path,  # noqa: F811
    fault: Callable[[Path], object],
) -> None:
    fault(workspace / "store.duckdb")
    (workspace / "store.changes").unlink()
    before = contents(workspace)
    with pytest.raises(StoreUnusable, match="the database itself is empty or missing"):
        Store.open(workspace, "a test")
    assert contents(workspace) == before


def test_a_closed_store_without_its_record_is_not_taken_for_whole_but_a_restored_one_is(tmp_path: Path) -> None:
    with Store.open(tmp_path / "first", "a test") as store:
        change(store)
        back_up(store, tmp_path / "backup")
    by_hand = tmp_path / "by hand"
    by_hand.mkdir()
    shutil.copyfile(tmp_path / "backup", by_hand / "store.duckdb")
    with pytest.raises(StoreUnusable, match="restore a backup with"):
        Store.open(by_hand, "a test")
    restore(tmp_path / "restored", tmp_path / "backup")
    with Store.open(tmp_path / "restored", "a test") as store:
        assert (store.changes, store.opened.notices) == (1, ())


def test_a_store_that_was_killed_while_it_was_made_is_made(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "store.duckdb")):
        pass
    with Store.open(tmp_path, "a test") as store:
        assert (store.changes, store.opened.notices) == (0, ())


def test_a_new_record_is_flushed_so_that_a_power_cut_leaves_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk_order(monkeypatch) as order, Store.open(tmp_path, "a test"):
        flushed = order.flushes.keys()
        assert {record_path(tmp_path).stat().st_ino, tmp_path.stat().st_ino} <= flushed
    record = read_record(tmp_path)
    assert record is not None
    assert record.closed
