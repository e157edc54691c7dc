"""The ledger of shards: each shard is ingested once, and the store's losses can be checked against it."""

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from .connection import fetch_all, fetch_first

_FRESH = """
    SELECT DISTINCT ON (id)
        example_id::UUID AS id, nll_sum, token_count, truncated, reason, left_out, end_nll_sum, end_token_count
    FROM new_losses WHERE example_id::UUID NOT IN (SELECT example_id FROM loss WHERE loss_set_id = ?)
"""
"""Losses of a shard that the loss set (the parameter) does not have yet."""


def add_shard(
    connection: duckdb.DuckDBPyConnection, name: str, loss_set_id: int, losses: pa.Table, sha256: str | None
) -> int:
    """Add a shard's losses and its name, unless the name is in the ledger already. Returns how many losses were new."""
    if fetch_first(connection, "SELECT 1 FROM shard WHERE name = ?", [name]):
        return 0
    fresh = _insert_fresh(connection, loss_set_id, losses)
    finite = pc.if_else(pc.is_finite(fresh["nll_sum"]), fresh["nll_sum"], None)
    fetch_all(
        connection,
        "INSERT INTO shard (name, row_count, ingested_at, loss_set_id, nll_total, sha256) "
        "VALUES (?, ?, now(), ?, ?, ?)",
        [name, fresh.num_rows, loss_set_id, pc.sum(finite).as_py() or 0.0, sha256],
    )
    return int(fresh.num_rows)


def put_back(connection: duckdb.DuckDBPyConnection, loss_set_id: int, losses: pa.Table) -> int:
    """Insert a shard's losses that are missing in the store, even if the ledger has the shard; returns how many."""
    return int(_insert_fresh(connection, loss_set_id, losses).num_rows)


def absent_count(connection: duckdb.DuckDBPyConnection, loss_set_id: int, losses: pa.Table) -> int:
    """How many of a shard's losses are missing in the store. Each is read, so damaged blocks are found.

    A loss with a different value is not missing: another shard may have been ingested first.
    """
    connection.register("kept_losses", losses)
    row = fetch_first(
        connection,
        """
        SELECT count(*) FROM (SELECT DISTINCT example_id::UUID AS id FROM kept_losses)
        ANTI JOIN (
            SELECT example_id AS id FROM loss
            WHERE loss_set_id = ? AND (nll_sum IS NOT NULL OR reason IS NOT NULL OR token_count = 0)
        ) USING (id)
        """,
        [loss_set_id],
    )
    connection.unregister("kept_losses")
    return int(row[0]) if row else 0


def _insert_fresh(connection: duckdb.DuckDBPyConnection, loss_set_id: int, losses: pa.Table) -> pa.Table:
    connection.register("new_losses", losses)
    fresh = connection.sql(_FRESH, params=[loss_set_id]).to_arrow_table()
    connection.register("fresh_losses", fresh)
    fetch_all(
        connection,
        "INSERT INTO loss SELECT ?, id, nll_sum, token_count, truncated, reason, left_out, end_nll_sum, "
        "end_token_count FROM fresh_losses",
        [loss_set_id],
    )
    connection.unregister("fresh_losses")
    connection.unregister("new_losses")
    return fresh
