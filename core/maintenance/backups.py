"""Backups: one file that holds what a store cannot be made again from, taken while it is in use, and taken back."""

from dataclasses import dataclass
from pathlib import Path

from ..data.errors import StoreUnusable, WorkspaceLocked, WriteFailed
from ..store import Store, put_in_place
from ..system.asking import asked, own_or_ask
from ..system.file_hash import file_sha256
from ..system.ownership import hold_workspace

CONTENTS = "datasets with their original records, losses, runs, selections and near duplicates"
LEFT_OUT = "trained references (models/), exports/ and jobs/"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A backup that was made: its file, size [bytes], SHA-256 [hex], and how many changes of the store it holds."""

    path: str
    bytes: int
    sha256: str
    changes: int


def back_up(store: Store, path: Path) -> BackupReport:
    """Write the store as it is now to the file `path`. Raises `WriteFailed`, having left nothing behind."""
    if path.exists():
        raise WriteFailed(f"{path} exists and is left alone. Choose another name for the backup.")
    if not path.parent.is_dir():
        raise WriteFailed(f"The folder {path.parent} does not exist. Create it, or choose another place.")
    changes = store.copy_to(path)
    return BackupReport(str(path), path.stat().st_size, file_sha256(path), changes)


def back_up_workspace(workspace: Path, path: Path) -> BackupReport:
    """Back a workspace up: from here, or by asking the process that holds it."""
    path = path.resolve()

    def own() -> BackupReport:
        with Store.open(workspace, "python -m core backup") as store:
            return back_up(store, path)

    def ask(refusal: WorkspaceLocked) -> BackupReport:
        with asked(workspace, "backup", {"path": str(path)}, refusal) as answer:
            return BackupReport(**answer.fields)

    return own_or_ask(own, ask)


def restore(workspace: Path, path: Path) -> Path | None:
    """Put a backup in the place of the workspace's store, which is kept beside it; returns where, None if there was
    none. Raises `WorkspaceLocked`, `StoreUnusable` or `WriteFailed`; the store then is as it was."""
    if not path.is_file():
        raise StoreUnusable(f"There is no file {path}. Give a file that was made with: python -m core backup FILE")
    with hold_workspace(workspace, "python -m core restore"):
        return put_in_place(workspace, path)
