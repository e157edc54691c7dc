"""The stamp of a scored table: a digest of its inputs, so that it is rebuilt only when they have changed.

It is stored as the table's comment, so that it disappears if the table is rebuilt in any other way.
"""

import hashlib

import duckdb

from .connection import fetch_all, fetch_first
from .scored_table import RUN_LOSSES, TRAINED_MODELS, scored_table, table_statement

_SOURCES = {
    "run": """
        SELECT hash(dataset_id, role, loss_set_id) AS of_row FROM run JOIN run_loss USING (run_id) WHERE run_id = $1
    """,
    "rows": """
        SELECT hash(row_number, example_id, domain) AS of_row
        FROM dataset_row WHERE dataset_id = (SELECT dataset_id FROM run WHERE run_id = $1)
    """,
    "losses": f"""
        SELECT hash(
            loss_set_id, example_id, nll_sum, token_count, truncated, reason, left_out, end_nll_sum, end_token_count
        ) AS of_row
        FROM loss WHERE loss_set_id IN ({RUN_LOSSES})
    """,
    "loss sets": f"""
        SELECT hash(loss_set_id, noise_floor, model_fingerprint) AS of_row
        FROM loss_set WHERE loss_set_id IN ({RUN_LOSSES})
    """,
    "imported": """
        SELECT hash(imported_score_id, row_number, value) AS of_row FROM imported_value
        WHERE imported_score_id IN (SELECT imported_score_id FROM imported_score JOIN run USING (dataset_id)
            WHERE run_id = $1)
    """,
    "training": f"""
        SELECT hash(example_id) AS of_row
        FROM trained_example WHERE model_fingerprint IN ({TRAINED_MODELS})
    """,
}


def scored_stamp(connection: duckdb.DuckDBPyConnection, run_id: int) -> str:
    """Digest of everything that a run's scored table is built from: its statement and its rows, in any order."""
    # The statement contains all formulas and the settings used in them.
    digest = hashlib.blake2b(table_statement(connection, run_id).encode(), digest_size=16)
    for name, source in _SOURCES.items():
        found = fetch_first(connection, f"SELECT count(*), sum(of_row) FROM ({source})", [run_id])
        digest.update(f"{name} {found}".encode())
    return digest.hexdigest()


def keep_stamp(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """Stamp the table that was built in the same transaction."""
    fetch_all(connection, f"COMMENT ON TABLE {scored_table(run_id)} IS '{scored_stamp(connection, run_id)}'")


def is_current(connection: duckdb.DuckDBPyConnection, run_id: int) -> bool:
    """Whether the run's scored table exists and is up to date."""
    sql = "SELECT comment FROM duckdb_tables() WHERE table_name = ? AND database_name = current_database()"
    kept = fetch_first(connection, sql, [scored_table(run_id)])
    return bool(kept and kept[0]) and kept == (scored_stamp(connection, run_id),)
