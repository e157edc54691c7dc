"""Backups: saves a store to one file while it is in use, and restores it."""

from dataclasses import dataclass
from pathlib import Path

from ...data.errors import StoreUnusable, WorkspaceLocked, WriteFailed
from ...data.unicode_text import is_unicode
from ...data.version import COMMAND
from ...store import Store, put_in_place
from ...system.asking import asked, own_or_ask
from ...system.file_hash import file_sha256
from ...system.ownership import hold_workspace
from ...system.workspace_files import check_output

CONTENTS = "datasets with their original records, losses, runs, selections and near duplicates"
_LONGEST_NAME = 200
LEFT_OUT = "trained references (models/), embeddings/, exports/ and jobs/"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A finished backup: its file, size [bytes], SHA-256 [hex], and number of changes of the store."""

    path: str
    bytes: int
    sha256: str
    changes: int


def back_up(store: Store, path: Path) -> BackupReport:
    """Write the current store to the file `path`. On failure raises `WriteFailed` and leaves no file."""
    _check_name(path)
    check_output(path, store.workspace)
    if path.exists():
        raise WriteFailed(f"{path} exists and is not overwritten. Choose another name for the backup.")
    if not path.parent.is_dir():
        raise WriteFailed(f"The folder {path.parent} does not exist. Create it, or choose another location.")
    changes = store.copy_to(path)
    return BackupReport(str(path), path.stat().st_size, file_sha256(path), changes)


def _check_name(path: Path) -> None:
    """The database reads names as UTF-8, and writes beside the file under a longer name first."""
    if not is_unicode(path.name):
        fault = "is not valid UTF-8"
    elif len(path.name.encode()) > _LONGEST_NAME:
        fault = f"is longer than {_LONGEST_NAME} bytes"
    else:
        return
    raise WriteFailed(f"The name {path.name[:40]!a} of the backup {fault}. Choose another name.")


def back_up_workspace(workspace: Path, path: Path) -> BackupReport:
    """Back up a workspace: in this process, or by asking its owner."""
    path = path.resolve()

    def own() -> BackupReport:
        with Store.open(workspace, f"{COMMAND} backup") as store:
            return back_up(store, path)

    def ask(refusal: WorkspaceLocked) -> BackupReport:
        with asked(workspace, "backup", {"path": str(path)}, refusal) as answer:
            return BackupReport(**answer.fields)

    return own_or_ask(own, ask)


def restore(workspace: Path, path: Path) -> Path | None:
    """Replace the workspace's store with a backup; the old store is kept beside it. Returns its path, None if there was
    none. Raises `WorkspaceLocked`, `StoreUnusable` or `WriteFailed`; the store is then unchanged."""
    if not path.is_file():
        raise StoreUnusable(f"There is no file {path}. Give a backup made with: {COMMAND} backup FILE")
    with hold_workspace(workspace, f"{COMMAND} restore"):
        return put_in_place(workspace, path)
