"""Opens a store and checks that it is complete, against its change record and its ledger."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from ..system.ownership import not_writable
from .change_record import check_there, check_whole, check_without_record, clock_notice, read_record, write_record
from .connection import changes_on_disk, count_changes, fetch_all, version_on_disk
from .copying import finish_replacement
from .files import database_path, log_path
from .migrations import open_database


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """An open database. `changes`: their number; `from_file`: all of them were in the file, none in the WAL;
    `lacks_losses`: the ledger counts more losses than there are; `notices`: sentences for the user."""

    connection: duckdb.DuckDBPyConnection
    changes: int
    from_file: bool
    lacks_losses: bool
    notices: tuple[str, ...]


def open_whole(workspace: Path, accept_loss: bool = False) -> OpenedStore:
    """The workspace's database, created if there is none. Raises `StoreUnusable` if changes were lost, unless
    `accept_loss`; nothing is written before this check."""
    path = database_path(workspace)
    try:
        restored = finish_replacement(workspace)
    except OSError as error:
        raise not_writable(workspace, str(error.strerror)) from error
    record = None if accept_loss else read_record(workspace)
    log = log_path(path)
    from_file = not log.exists() or not log.stat().st_size
    if record:
        check_there(workspace, record)
        # Opening for writing would merge what is left of a damaged WAL into the file and discard the rest.
        if path.exists() and not (record.closed and from_file):
            check_whole(workspace, changes_on_disk(path), record)
    unknown = None
    if record is None and not accept_loss:
        has_content = path.exists() and path.stat().st_size > 0
        unknown = check_without_record(workspace, version_on_disk(path) if has_content else -1)
    connection, migrated = open_database(workspace)
    changes = count_changes(connection)
    if record:
        try:
            check_whole(workspace, changes, record)
        except BaseException:
            connection.close()
            raise
    write_record(workspace, changes, closed=False)
    lacking = missing_by_set(connection)
    notices: list[str | None] = [restored, unknown, clock_notice(record) if record else None]
    notices += migrated
    notices += [_lacks_losses(label, count) for label, count in lacking]
    return OpenedStore(connection, changes, from_file, bool(lacking), tuple(filter(None, notices)))


def missing_by_set(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    """Loss sets with fewer losses than the ledger's shards: label, and how many are missing."""
    return [
        (str(label), int(missing))
        for label, missing in fetch_all(
            connection,
            """
            SELECT model_label, brought - coalesce(held, 0) AS missing
            FROM (SELECT loss_set_id, sum(row_count) AS brought FROM shard WHERE loss_set_id IS NOT NULL GROUP BY ALL)
            LEFT JOIN (SELECT loss_set_id, count(*) AS held FROM loss GROUP BY ALL) USING (loss_set_id)
            LEFT JOIN loss_set USING (loss_set_id)
            WHERE missing > 0 ORDER BY loss_set_id
            """,
        )
    ]


def _lacks_losses(label: str, count: int) -> str:
    return (
        f"The store has lost {count:,} losses of {label!r}. Those in kept shards are restored; "
        "scoring the dataset again computes the rest."
    )
