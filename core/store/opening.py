"""Opening a store that is whole: what its record and its ledger say is held against what is there."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from .change_record import check_there, check_whole, clock_notice, read_record, write_record
from .connection import changes_on_disk, count_changes, fetch_all
from .files import database_path, log_path
from .migrations import open_database


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """An open database: `changes` that it holds; `from_file` says that all of them were in the file itself, none in
    its log; `lacks_losses` that its ledger counts more than it has; `notices` are sentences for people."""

    connection: duckdb.DuckDBPyConnection
    changes: int
    from_file: bool
    lacks_losses: bool
    notices: tuple[str, ...]


def open_whole(workspace: Path, accept_loss: bool = False) -> OpenedStore:
    """The workspace's database, made if there is none. Raises `StoreUnusable` if changes are missing that it once
    held, unless `accept_loss`; nothing is written before that is known."""
    path = database_path(workspace)
    record = None if accept_loss else read_record(workspace)
    log = log_path(path)
    from_file = not log.exists() or not log.stat().st_size
    if record:
        check_there(workspace, record)
        # Opened for writing, what a damaged log still holds would be taken into the file and the rest thrown away.
        if path.exists() and not (record.closed and from_file):
            check_whole(workspace, changes_on_disk(path), record)
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
    notices: list[str | None] = [clock_notice(record)] if record else []
    notices += migrated
    notices += [_lacks_losses(label, count) for label, count in lacking]
    return OpenedStore(connection, changes, from_file, bool(lacking), tuple(filter(None, notices)))


def missing_by_set(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    """Loss sets that hold fewer losses than the ledger's shards brought: label, and how many are missing."""
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
        f"The store lacks {count:,} losses of {label!r} that it once held. They are taken from the shards that were "
        "kept where there are any; scoring the dataset again computes the rest."
    )
