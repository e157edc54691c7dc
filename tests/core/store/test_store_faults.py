"""Faults of the store's files: each is found when the store is opened, said in one sentence, and nothing is written."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from core.data.errors import StoreUnusable, WorkspaceLocked
from core.store import STORE_VERSION, Store
from tests.command_line import ROOT

FILES = ("store.duckdb", "store.duckdb.wal", "store.changes")
CRASH = """
import os, signal, sys
from pathlib import Path
from core.store import Store
from core.store.recipes import save_recipe
workspace = Path(sys.argv[1])
Store.open(workspace, "a test").close()
store = Store.open(workspace, "a test")
for number in range(20):
    save_recipe(store, f"recipe {number}", {"run": "first"}, {})
os.kill(os.getpid(), signal.SIGKILL)
"""
"""A program that makes a store, closes it, writes twenty changes into its log and is killed."""


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("crashed")
    subprocess.run([sys.executable, "-c", CRASH, str(workspace)], cwd=ROOT, check=False)
    assert (workspace / "store.duckdb.wal").stat().st_size
    return workspace


@pytest.fixture
def workspace(crashed: Path, tmp_path: Path) -> Path:
    """A workspace whose owner was killed: its last twenty changes are in the log."""
    return Path(shutil.copytree(crashed, tmp_path / "workspace"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "workspace", "a test") as opened:
        yield opened


def change(store: Store) -> None:
    """The smallest change there is."""
    store.ensure_loss_set(f"model {store.changes}", "encoding", "a model")


def contents(workspace: Path) -> dict[str, bytes]:
    return {name: (workspace / name).read_bytes() for name in FILES if (workspace / name).exists()}


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def remove(path: Path, _: bytes) -> None:
    path.unlink()


LOG_FAULTS: dict[str, Callable[[Path, bytes], object]] = {
    "missing": remove,
    "emptied": lambda path, _: path.write_bytes(b""),
    "cut": lambda path, content: path.write_bytes(content[: len(content) // 2]),
    "flipped": lambda path, content: path.write_bytes(flipped(content)),
}


def test_a_killed_owner_loses_nothing(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        assert store.rows("SELECT count(*) FROM selection") == [(20,)]
        assert store.changes == 20
        assert not store.opened.from_file
    with Store.open(workspace, "a test") as store:
        assert store.opened.from_file


@pytest.mark.parametrize("fault", LOG_FAULTS)
def test_a_log_that_lost_changes_is_found_and_left_as_it_is(workspace: Path, fault: str) -> None:
    log = workspace / "store.duckdb.wal"
    LOG_FAULTS[fault](log, log.read_bytes())
    before = contents(workspace)
    with pytest.raises(StoreUnusable, match=r"has lost its last .*Nothing was changed; put the right file back"):
        Store.open(workspace, "a test")
    assert contents(workspace) == before


def test_what_is_left_can_be_accepted_and_is_whole_from_then_on(workspace: Path) -> None:
    (workspace / "store.duckdb.wal").unlink()
    with Store.open(workspace, "a test", accept_loss=True) as store:
        assert store.rows("SELECT count(*) FROM selection") == [(0,)]
        change(store)
    with Store.open(workspace, "a test") as store:
        assert store.changes == 1


def test_a_log_that_says_itself_that_it_is_damaged_is_said_to_be_so(workspace: Path) -> None:
    """DuckDB stops at most damages of a log without a word, and at some with an error: every byte of one change."""
    log = workspace / "store.duckdb.wal"
    whole = log.read_bytes()
    for place in range(len(whole) // 2, len(whole) // 2 + 400, 20):
        log.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(StoreUnusable, match=r"has lost its last .*put the right file back"):
            Store.open(workspace, "a test")


def test_the_right_log_put_back_opens_as_if_nothing_had_been(workspace: Path) -> None:
    log = workspace / "store.duckdb.wal"
    content = log.read_bytes()
    log.write_bytes(b"")
    with pytest.raises(StoreUnusable):
        Store.open(workspace, "a test")
    log.write_bytes(content)
    with Store.open(workspace, "a test") as store:
        assert store.changes == 20


@pytest.mark.parametrize("fault", ["missing", "emptied"])
def test_a_database_that_is_gone_is_not_made_anew(workspace: Path, fault: str) -> None:
    Store.open(workspace, "a test").close()  # its log taken into the file
    LOG_FAULTS[fault](workspace / "store.duckdb", b"")
    before = contents(workspace)
    with pytest.raises(StoreUnusable, match=r"is missing; it had 20 changes\. No new store was created"):
        Store.open(workspace, "a test")
    assert contents(workspace) == before


def test_an_older_copy_put_in_the_place_of_the_database_is_found(store: Store, tmp_path: Path) -> None:
    workspace, older = store.workspace, tmp_path / "older"
    store.close()
    shutil.copyfile(workspace / "store.duckdb", older)
    with Store.open(workspace, "a test") as again:
        change(again)
    shutil.copyfile(older, workspace / "store.duckdb")
    with pytest.raises(StoreUnusable, match=r"has lost its last change \(0 of 1 are left\)"):
        Store.open(workspace, "a test")


def test_a_store_of_a_newer_version_keeps_its_log(workspace: Path) -> None:
    with Store.open(workspace, "a test") as store:
        store.write(lambda connection: connection.execute(f"UPDATE store_version SET version = {STORE_VERSION + 1}"))
    before = contents(workspace)
    with pytest.raises(StoreUnusable, match="Use the program version that wrote it"):
        Store.open(workspace, "a test")
    assert contents(workspace) == before


def test_a_record_that_cannot_be_read_keeps_nobody_out(workspace: Path) -> None:
    (workspace / "store.changes").write_bytes(b"\xff" * 50)
    with Store.open(workspace, "a test") as store:
        assert store.changes == 20
    assert json.loads((workspace / "store.changes").read_bytes())["changes"] == 20


# Locks


def test_a_lock_that_was_removed_lets_nobody_else_in_and_nothing_more_be_written(store: Store) -> None:
    (store.workspace / "store.lock").unlink()
    code = (
        "import sys; from pathlib import Path; from core.store import Store\n"
        "from core.data.errors import WorkspaceLocked\n"
        "try: Store.open(Path(sys.argv[1]), 'the other program')\n"
        "except WorkspaceLocked as error: sys.exit(str(error))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(store.workspace)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "is open in another process" in other.stderr
    assert "store.lock was removed" in other.stderr
    with pytest.raises(StoreUnusable, match="Writing has stopped"):
        change(store)
    assert store.rows("SELECT count(*) FROM loss_set") == [(0,)]


def test_a_database_replaced_while_it_is_open_is_not_written_to(store: Store, tmp_path: Path) -> None:
    path = store.workspace / "store.duckdb"
    path.rename(tmp_path / "taken away")
    path.write_bytes(b"another file")
    with pytest.raises(StoreUnusable, match="was removed or replaced"):
        change(store)
    assert path.read_bytes() == b"another file"


def test_the_same_process_cannot_open_a_workspace_twice(store: Store) -> None:
    with pytest.raises(WorkspaceLocked, match="is in use by a test"):
        Store.open(store.workspace, "another test")


# The rest


def test_a_folder_that_may_only_be_read_is_said(workspace: Path) -> None:
    before = contents(workspace)
    # Root may write everywhere, unless it gives its capabilities away.
    as_anybody = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    command = [*as_anybody, sys.executable, "-m", "core", "status", "--workspace", str(workspace)]
    workspace.chmod(0o500)
    for name in FILES:
        (workspace / name).chmod(0o400)
    try:
        other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        workspace.chmod(0o700)
    assert other.returncode == 1
    assert "is not writable (Permission denied). Choose another with --workspace." in other.stderr
    assert contents(workspace) == before


def test_a_clock_that_was_put_back_is_said(workspace: Path) -> None:
    record = json.loads((workspace / "store.changes").read_bytes())
    record["written_at"] = time.time() + 86_400
    (workspace / "store.changes").write_text(json.dumps(record), encoding="ascii")
    with Store.open(workspace, "a test") as store:
        (notice,) = store.opened.notices
        assert "clock is behind the store's last change" in notice
    with Store.open(workspace, "a test") as store:
        assert store.opened.notices == ()


def test_a_damaged_block_is_said_where_it_is_read_and_the_rest_goes_on(store: Store) -> None:
    workspace = store.workspace
    store.write(
        lambda connection: connection.execute(
            "INSERT INTO selection SELECT range, md5(range::VARCHAR), md5(range::VARCHAR), now() FROM range(50000)"
        ).fetchall()
    )
    store.close()
    path = workspace / "store.duckdb"
    path.write_bytes(flipped(path.read_bytes()))
    with Store.open(workspace, "a test") as again:
        with pytest.raises(StoreUnusable, match=r"is damaged .*python -m core check.*restore a backup"):
            again.rows("SELECT max(recipe), max(summary), max(name) FROM selection")
        assert again.rows("SELECT version FROM store_version") == [(STORE_VERSION,)]


def test_losses_that_went_from_the_file_are_said(store: Store) -> None:
    from tests.core.store.test_store import losses_of

    workspace, loss_set = store.workspace, store.ensure_loss_set("base weights", "encoding", "base")
    store.ingest_shard("one", loss_set, losses_of(Mars=20.0, Venus=10.0))
    store.close()
    with duckdb.connect(str(workspace / "store.duckdb")) as connection:
        connection.execute("DELETE FROM loss WHERE nll_sum > 15")
    with Store.open(workspace, "a test") as again:
        assert again.opened.lacks_losses
        assert "has lost 1 losses of 'base'" in again.opened.notices[0]
