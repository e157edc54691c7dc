"""The change record: how many changes the store holds, kept beside the database, which opens without a word when its
log is gone.

Written after each change without being flushed: after a power cut it may know fewer changes than the database holds,
never more. So a database with fewer changes than the record has lost some.
"""

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..data.errors import StoreUnusable
from .files import database_path, log_path

log = logging.getLogger(__name__)

_SIZE = 128
"""Bytes of the record: written in one call in the same place, so that no kill leaves half of it."""
_CLOCK_SLACK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """`changes`: how many the database held; `closed`: whether it was closed properly since, its log taken into the
    file; `written_at` [seconds since 1970]."""

    changes: int
    closed: bool
    written_at: float


def record_path(workspace: Path) -> Path:
    """Where a workspace's record lies."""
    return workspace / "store.changes"


def read_record(workspace: Path) -> ChangeRecord | None:
    """The workspace's record; None where there is none that can be read, as in a workspace of an older version."""
    try:
        fields = json.loads(record_path(workspace).read_text(encoding="ascii"))
        return ChangeRecord(int(fields["changes"]), bool(fields["closed"]), float(fields["written_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_record(workspace: Path, changes: int, closed: bool) -> None:
    """Replace the record in place. A disk that takes no more keeps the older one, which only knows fewer changes."""
    text = json.dumps({"changes": changes, "closed": closed, "written_at": time.time()}).ljust(_SIZE - 1) + "\n"
    try:
        descriptor = os.open(record_path(workspace), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, text.encode("ascii"), 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        log.warning("The record %s cannot be written (%s).", record_path(workspace), error.strerror)


def check_whole(workspace: Path, changes: int, record: ChangeRecord) -> None:
    """Raise `StoreUnusable` if a database that holds `changes` changes has lost some that the record knows of."""
    lost = record.changes - changes
    if lost <= 0:
        return
    path = database_path(workspace)
    what = f"its last {lost:,} changes" if lost > 1 else "its last change"
    raise StoreUnusable(
        f"The store {path} has lost {what} ({changes:,} of {record.changes:,} are there): its log "
        f"{log_path(path).name} is missing or damaged, or an older copy was put in its place. Nothing was changed; "
        "put the right file back, restore a backup with: python -m core restore FILE, or go on with what is left "
        "with: python -m core check --accept-loss"
    )


def check_there(workspace: Path, record: ChangeRecord) -> None:
    """Raise `StoreUnusable` if there is no database although the record knows of one."""
    path = database_path(workspace)
    # DuckDB takes an empty file for a new database.
    if not record.changes or (path.exists() and path.stat().st_size):
        return
    raise StoreUnusable(
        f"The store {path} is gone, though it held {record.changes:,} changes. Nothing was made in its place; put the "
        "file back, restore a backup with: python -m core restore FILE, or begin anew with: "
        "python -m core check --accept-loss"
    )


def clock_notice(record: ChangeRecord) -> str | None:
    """A sentence if the clock stands before the store's last change, else None."""
    behind = record.written_at - time.time()
    if behind < _CLOCK_SLACK_SECONDS:
        return None
    last = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.written_at))
    return (
        f"This machine's clock stands before the store's last change ({last}). Nothing is lost by that, but dates and "
        "the order of jobs will be wrong until the clock is set."
    )
