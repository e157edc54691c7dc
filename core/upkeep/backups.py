"""Backups: one file that holds what a store cannot be made again from, taken while it is in use, and taken back."""

import json
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import CurationError, StoreUnusable, WorkspaceLocked, WriteFailed
from core.file_hash import file_sha256
from core.ownership import hold_workspace, is_held
from core.spool import write_durably
from core.store import Store, put_in_place

CONTENTS = "datasets with their original records, losses, runs, selections and near duplicates"
LEFT_OUT = "trained references (models/), exports/ and jobs/"
_REQUEST, _TAKEN = "backup-request.json", "backup-taken.json"
_ANSWER_SECONDS = 20.0
"""How long whoever holds the store has to take a request up; it may be in the middle of an import."""
_POLL_SECONDS = 0.1


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
    try:
        with Store.open(workspace, "python -m core backup") as store:
            return back_up(store, path)
    except WorkspaceLocked as refusal:
        return _ask_owner(workspace, path, refusal)


def answer_backup_request(store: Store) -> None:
    """Make the backup that another process asked this one for, which holds the store; nothing without a request."""
    request, taken = store.workspace / _REQUEST, store.workspace / _TAKEN
    if not request.exists():
        return
    try:
        request.rename(taken)
        fields = json.loads(taken.read_text(encoding="utf-8"))
        answer_path, target = _answer_path(store.workspace, str(fields["id"])), Path(fields["path"])
    except (OSError, ValueError, KeyError, TypeError):
        taken.unlink(missing_ok=True)
        return  # withdrawn meanwhile, or not written by this program
    try:
        answer = {"report": asdict(back_up(store, target))}
    except CurationError as error:
        answer = {"message": {"sentence": str(error)}}
    write_durably(answer_path, [json.dumps(answer).encode()])
    taken.unlink(missing_ok=True)


def restore(workspace: Path, path: Path) -> Path | None:
    """Put a backup in the place of the workspace's store, which is kept beside it; returns where, None if there was
    none. Raises `WorkspaceLocked`, `StoreUnusable` or `WriteFailed`; the store then is as it was."""
    if not path.is_file():
        raise StoreUnusable(f"There is no file {path}. Give a file that was made with: python -m core backup FILE")
    with hold_workspace(workspace, "python -m core restore"):
        return put_in_place(workspace, path)


def _ask_owner(workspace: Path, path: Path, refusal: WorkspaceLocked) -> BackupReport:
    request_id = secrets.token_hex(8)
    request, answer = workspace / _REQUEST, _answer_path(workspace, request_id)
    write_durably(request, [json.dumps({"id": request_id, "path": str(path)}).encode()])
    deadline = time.monotonic() + _ANSWER_SECONDS
    try:
        while not answer.exists():
            if not is_held(workspace):
                raise WorkspaceLocked("The program that held the workspace has ended. Back up again.")
            if request.exists() and time.monotonic() > deadline:
                raise WorkspaceLocked(f"{refusal} It is busy and has not answered; ask for the backup again later.")
            time.sleep(_POLL_SECONDS)
        fields = json.loads(answer.read_text(encoding="utf-8"))
    finally:
        request.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
    if "report" not in fields:
        raise WriteFailed(fields["message"]["sentence"])
    return BackupReport(**fields["report"])


def _answer_path(workspace: Path, request_id: str) -> Path:
    return workspace / f"backup-answer-{request_id.replace('/', '')}.json"
