"""The change record: the number of changes in the store, kept beside the database, because DuckDB opens silently if its
WAL is missing.

It is written after each change, and flushed only when it is made: after a power cut it may count fewer changes than the
database has, never more. So a database with fewer changes than the record has lost some. A database that counts changes
has had a record since; if that is lost, and the WAL too, nothing tells whether the last changes are there.
"""

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..data.errors import JsonInvalid, StoreUnusable
from ..data.version import COMMAND
from ..system.atomic_files import sync_folder
from ..system.untrusted_json import read_json_object
from .files import database_path, log_path

log = logging.getLogger(__name__)

_SIZE = 128
"""Size of the record: written in place in one call, so that a kill cannot leave half of it."""
_FIRST_VERSION = 3
"""The store version from which on there is a record."""
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
        fields = read_json_object(record_path(workspace))
        return ChangeRecord(int(fields["changes"]), bool(fields["closed"]), float(fields["written_at"]))
    except (FileNotFoundError, JsonInvalid, ValueError, KeyError, TypeError, OverflowError):
        return None


def write_record(workspace: Path, changes: int, closed: bool) -> bool:
    """Overwrite the record in place; returns whether that was possible. If the disk is full, the older record stays,
    which only counts fewer changes, unless the database was replaced."""
    text = json.dumps({"changes": changes, "closed": closed, "written_at": time.time()}).ljust(_SIZE - 1) + "\n"
    is_new = not record_path(workspace).exists()
    try:
        descriptor = os.open(record_path(workspace), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, text.encode("ascii"), 0)
            os.ftruncate(descriptor, _SIZE)  # a longer one was not ours
            if is_new:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(workspace)
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


def check_without_record(workspace: Path, version: int) -> str | None:
    """For a database without a readable record, and the store version in it (-1: there is none): a sentence if its WAL
    is there, None if it never had a record. Raises `StoreUnusable` if the WAL, or the database itself, is lost too:
    then nothing tells what is missing."""
    path, record = database_path(workspace), record_path(workspace)
    log = log_path(path)
    has_log = log.exists() and log.stat().st_size > 0
    if version < _FIRST_VERSION and not (version < 0 and (has_log or record.exists())):
        return None
    how = "cannot be read" if record.exists() else "is missing"
    if version > 0 and has_log:
        return (
            f"The record {record.name} of the store's changes {how}, so it is not known whether the last changes are "
            "all there. Compare the store with what you did last, or restore a backup."
        )
    also = f"its log (WAL) {log.name} is not there either" if version > 0 else "the database itself is empty or missing"
    raise StoreUnusable(
        f"The store {path} may have lost its last changes: its record {record.name} {how}, and {also}. Nothing was "
        f"changed; put the files back, or restore a backup with: {COMMAND} restore FILE. To go on with what is left, "
        f"or if you copied the database of a store that was closed, run: {COMMAND} check --accept-loss"
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
