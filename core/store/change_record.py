"""The change record: the number of changes in the store, kept beside the database, because DuckDB opens silently if its
WAL is missing.

It is written after each change without flushing: after a power cut it may count fewer changes than the database has,
never more. So a database with fewer changes than the record has lost some.
"""

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..data.errors import StoreUnusable
from ..data.version import COMMAND
from .files import database_path, log_path

log = logging.getLogger(__name__)

_SIZE = 128
"""Size of the record: written in place in one call, so that a kill cannot leave half of it."""
_CLOCK_SLACK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """`changes`: the number in the database; `closed`: whether it was closed properly since, with the WAL merged into
    the file; `written_at` [seconds since 1970]."""

    changes: int
    closed: bool
    written_at: float


def record_path(workspace: Path) -> Path:
    """Path of a workspace's record."""
    return workspace / "store.changes"


def read_record(workspace: Path) -> ChangeRecord | None:
    """The workspace's record; None if there is no readable one, as in a workspace of an older version."""
    try:
        fields = json.loads(record_path(workspace).read_text(encoding="ascii"))
        return ChangeRecord(int(fields["changes"]), bool(fields["closed"]), float(fields["written_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(workspace: Path, changes: int, closed: bool) -> bool:
    """Overwrite the record in place; returns whether that was possible. If the disk is full, the older record stays,
    which only counts fewer changes, unless the database was replaced."""
    text = json.dumps({"changes": changes, "closed": closed, "written_at": time.time()}).ljust(_SIZE - 1) + "\n"
    try:
        descriptor = os.open(record_path(workspace), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, text.encode("ascii"), 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        log.warning("The record %s cannot be written (%s).", record_path(workspace), error.strerror)
        return False
    return True


def check_whole(workspace: Path, changes: int, record: ChangeRecord) -> None:
    """Raise `StoreUnusable` if a database with `changes` changes has fewer than the record counts."""
    lost = record.changes - changes
    if lost <= 0:
        return
    path = database_path(workspace)
    what = f"its last {lost:,} changes" if lost > 1 else "its last change"
    raise StoreUnusable(
        f"The store {path} has lost {what} ({changes:,} of {record.changes:,} are left): its log "
        f"(WAL) {log_path(path).name} is missing or damaged, or it is an older copy. Nothing was changed; "
        f"put the right file back, restore a backup with: {COMMAND} restore FILE, or continue without the lost "
        f"changes with: {COMMAND} check --accept-loss"
    )


def check_there(workspace: Path, record: ChangeRecord) -> None:
    """Raise `StoreUnusable` if the database is missing although there is a record of it."""
    path = database_path(workspace)
    # DuckDB treats an empty file as a new database.
    if not record.changes or (path.exists() and path.stat().st_size):
        return
    raise StoreUnusable(
        f"The store {path} is missing; it had {record.changes:,} changes. No new store was created; put the "
        f"file back, restore a backup with: {COMMAND} restore FILE, or start with an empty store with: "
        f"{COMMAND} check --accept-loss"
    )


def clock_notice(record: ChangeRecord) -> str | None:
    """A sentence if the clock is behind the store's last change, else None."""
    behind = record.written_at - time.time()
    if behind < _CLOCK_SLACK_SECONDS:
        return None
    last = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.written_at))
    return (
        f"This machine's clock is behind the store's last change ({last}). No data is lost, but dates and "
        "the order of jobs will be wrong until the clock is set."
    )
