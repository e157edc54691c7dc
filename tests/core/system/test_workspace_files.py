"""A workspace's files are private, and no output that a person names takes their place, whichever way it is named."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.errors import PathRefused
from core.exporting import export_bundle, export_controls, export_selection, exports_folder
from core.exporting.trainer_configs import DATA_FILE
from core.selection import Amount, Selection
from core.store import Store
from core.system.workspace_files import check_output, make_private
from core.workspace.evaluation import check_evaluation_file
from core.workspace.inspecting import write_encoded
from core.workspace.loss_table import write_losses
from core.workspace.maintenance.backups import back_up
from core.workspace.trained_elsewhere import write_dataset_folds
from tests import command_line

RECIPE = Selection("planets", amount=Amount("rows", 4))
OWN = ("store.duckdb", "store.duckdb.wal", "store.changes", "store.lock", "store.new", "hashes.json", "models/m/x.csv")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


WRITERS: dict[str, Callable[[Store, Path], object]] = {
    "export": lambda store, path: export_selection(store, RECIPE, path, "jsonl"),
    "bundle": lambda store, path: export_bundle(store, RECIPE, path, "plain"),
    "controls": lambda store, path: export_controls(store, RECIPE, path),
    "losses": lambda store, path: write_losses(store, "planets", path),
    "encode": lambda store, path: write_encoded(store, None, None, path),  # type: ignore[arg-type]
    "folds": lambda store, path: write_dataset_folds(store, "space", 2, 0.0, 0, 0.7, f"{path}.csv", None),  # type: ignore[arg-type]
    "evaluate": lambda store, path: check_evaluation_file(path, store.workspace),
    "backup": lambda store, path: back_up(store, path),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("writer", WRITERS)
def test_nothing_writes_where_the_workspace_keeps_its_own(writer: str, name: str, scored_store: Store) -> None:
    path = scored_store.workspace / name
    before = path.read_bytes() if path.exists() and name != "store.duckdb" else path.exists()
    with pytest.raises(PathRefused, match="is a place of the workspace"):
        WRITERS[writer](scored_store, path)
    assert before == (path.read_bytes() if path.exists() and name != "store.duckdb" else path.exists())
    assert scored_store.rows("SELECT count(*) FROM run") == [(1,)]
    scored_store.relabel_domain("space", "chat", "talk")  # refused if the file were another


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder with a workspace, an empty folder data/, and links and second names that lead from one to the other."""
    workspace, data = tmp_path / "workspace", tmp_path / "data"
    Store.open(workspace, "a test").close()
    (workspace / "exports").mkdir()
    (workspace / "models").mkdir()
    (workspace / "models" / "weights").write_bytes(b"weights")
    (workspace / "exports" / "earlier.csv").write_bytes(b"")
    data.mkdir()
    (data / "to_store").symlink_to(workspace / "store.duckdb")
    (data / "to_folder").symlink_to(workspace)
    (data / "to_nothing").symlink_to(workspace / "store.duckdb.wal")
    (data / "circle").symlink_to(data / "circle")
    os.link(workspace / "store.changes", data / "second_name")
    os.link(workspace / "models" / "weights", data / "second_weights")
    os.link(workspace / "exports" / "earlier.csv", data / "exported")
    (workspace / "to_data").symlink_to(data)
    (workspace / "to_file").symlink_to(data / "file")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "workspace",
        "workspace/exports",
        "workspace/exports/../store.duckdb",
        "workspace/exports/../new.csv",
        "workspace/new.csv",
        "workspace/to_file",
        "data/../workspace/hashes.json",
        "data/to_store",
        "data/to_nothing",
        "data/to_folder/store.changes",
        "data/to_folder/new.csv",
        "data/second_name",
        "data/second_weights",
        "data/circle",
    ],
)
def test_the_workspaces_own_is_known_by_every_name(there: Path, name: str) -> None:
    with pytest.raises(PathRefused) as refused:
        check_output(there / name, there / "workspace")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "workspace/exports/new.csv",
        "workspace/exports/earlier.csv",
        "workspace/exports/deep/new.csv",
        "workspace/to_data/new.csv",
        "data/to_folder/exports/new.csv",
        "data/new.csv",
        "data/exported",
        "store.duckdb",
    ],
)
def test_exports_and_all_that_lies_outside_is_open(there: Path, name: str) -> None:
    check_output(there / name, there / "workspace")


def test_another_workspace_is_as_closed_as_ones_own(there: Path) -> None:
    with pytest.raises(PathRefused):
        check_output(there / "workspace" / "store.duckdb", there / "mine")
    with pytest.raises(PathRefused):
        check_output(there / "mine" / "losses.csv", there / "mine")  # not made yet


def test_the_command_line_refuses_before_it_works(scored_store: Store) -> None:
    workspace = scored_store.workspace
    scored_store.close()
    before = {path.name: path.read_bytes() for path in workspace.iterdir() if path.is_file()}
    report, evaluation = workspace / "store.html", workspace / "store.csv"
    for options in (
        ["report", "--run", "planets", "--output", report],
        ["evaluate", "--model", "no such model", "--dataset", "no such dataset", "--output", evaluation],
        ["losses", "--run", "planets", "--output", workspace / "store.jsonl"],
    ):
        done = command_line.run(workspace, *options)
        assert done.returncode == 1
        assert "is a place of the workspace" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    after = {path.name: path.read_bytes() for path in workspace.iterdir() if path.is_file()}
    assert after["store.duckdb"] == before["store.duckdb"]
    assert not {report.name, evaluation.name, "store.jsonl"} & set(after)


# Private


def test_a_new_workspace_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Store.open(tmp_path / "deep" / "workspace", "a test") as store:
            store.ensure_loss_set("model", "encoding", "a model")
            exports_folder(store.workspace)
        Store.open(tmp_path / "deep" / "workspace", "a test").close()
    finally:
        os.umask(before)
    workspace = tmp_path / "deep" / "workspace"
    assert {path.name: mode(path) for path in (workspace, *workspace.iterdir())} == {
        "workspace": 0o700,
        "exports": 0o700,
        "store.duckdb": 0o600,
        "store.changes": 0o600,
        "store.lock": 0o600,
    }


def test_an_export_is_private_in_the_workspace_and_as_the_umask_has_it_outside(
    scored_store: Store, tmp_path: Path
) -> None:
    before = os.umask(0o022)
    try:
        for folder in (exports_folder(scored_store.workspace), tmp_path):
            export_selection(scored_store, RECIPE, folder / "a.jsonl")
            export_bundle(scored_store, RECIPE, folder / "b", "plain")
    finally:
        os.umask(before)
    names = ("a.jsonl", "a.jsonl.manifest.json", "b", f"b/{DATA_FILE}", "b/manifest.json")
    inside, outside = (
        [mode(folder / name) for name in names] for folder in (scored_store.workspace / "exports", tmp_path)
    )
    assert inside == [0o600, 0o600, 0o700, 0o600, 0o600]
    assert outside == [0o644, 0o644, 0o755, 0o644, 0o644]


def test_an_earlier_workspace_is_made_private_when_it_is_opened(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    Store.open(workspace, "a test").close()
    (workspace / "models").mkdir()
    for path in (workspace, *workspace.iterdir()):
        path.chmod(0o775 if path.is_dir() else 0o664)
    Store.open(workspace, "a test").close()
    assert {mode(path) for path in (workspace, *workspace.iterdir())} == {0o700, 0o600}


def test_what_is_not_a_workspaces_keeps_its_mode(tmp_path: Path) -> None:
    """A folder with other things in it, a link, and what another owns."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    workspace = tmp_path / "project"
    workspace.mkdir()
    (workspace / "notes.txt").touch()
    (workspace / "models").symlink_to(shared)
    workspace.chmod(0o755)
    (workspace / "notes.txt").chmod(0o644)
    Store.open(workspace, "a test").close()
    assert (mode(workspace), mode(workspace / "notes.txt"), mode(shared)) == (0o755, 0o644, 0o755)
    assert mode(workspace / "store.duckdb") == 0o600
    if os.geteuid() == 0:
        (workspace / "store.duckdb").chmod(0o644)
        os.chown(workspace / "store.duckdb", 65534, -1)
        make_private(workspace)
        assert mode(workspace / "store.duckdb") == 0o644
