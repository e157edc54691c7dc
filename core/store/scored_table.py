"""The scored table of a run, in SQL: both losses joined to the rows, every score and flag computed once.

Pages read this table and compute nothing that it holds.
"""

import duckdb

from ..data import settings
from ..data.scores import SCORES
from .connection import fetch_all

_LOSSES = ("base_loss", "reference_loss")


def scored_table_sql(table: str) -> str:
    """Statement that (re)builds a run's scored table; its one parameter is the run_id.

    One row a dataset row. Losses and scores are NULL where they are undefined, and a flag column (see
    `core.data.scores.FLAGS`) says why; `duplicate_of` is the first row with the same conversation, NULL on that row.
    """
    scores = ", ".join(f"{score.sql} AS {score.name}" for score in SCORES.values() if score.name not in _LOSSES)
    return f"""
        CREATE OR REPLACE TABLE {table} AS
        WITH joined AS (
            SELECT
                row_number, r.example_id, domain,
                coalesce(base.token_count, reference.token_count, 0) AS token_count,
                if(isfinite(base.nll_sum), base.nll_sum, NULL) AS base_nll_sum,
                if(isfinite(reference.nll_sum), reference.nll_sum, NULL) AS reference_nll_sum,
                base_nll_sum / nullif(base.token_count, 0) AS base_loss,
                reference_nll_sum / nullif(reference.token_count, 0) AS reference_loss,
                greatest(base_set.noise_floor, reference_set.noise_floor) AS noise_floor,
                coalesce(base.truncated, false) AS truncated,
                coalesce(base.left_out > 0, false) AS cut_by_template,
                coalesce(base.left_out, 0) AS left_out,
                coalesce(NOT isfinite(base.nll_sum) OR NOT isfinite(reference.nll_sum), false) AS non_finite,
                coalesce(base.nll_sum = 0, false) AS zero_base_loss,
                coalesce(base.reason, reference.reason) AS reason,
                coalesce(base.token_count = 0, false) AS no_scored_token,
                base.example_id IS NULL OR reference.example_id IS NULL AS not_scored,
                nullif(min(row_number) OVER (PARTITION BY r.example_id), row_number) AS duplicate_of,
                r.example_id IN (
                    SELECT example_id FROM trained_example
                    WHERE model_fingerprint = (
                        SELECT model_fingerprint FROM loss_set JOIN run ON loss_set_id = reference_set WHERE run_id = $1
                    )
                ) AS trained_on
            FROM run
            JOIN dataset_row r USING (dataset_id)
            JOIN loss_set base_set ON base_set.loss_set_id = run.base_set
            JOIN loss_set reference_set ON reference_set.loss_set_id = run.reference_set
            LEFT JOIN loss base ON base.loss_set_id = run.base_set AND base.example_id = r.example_id
            LEFT JOIN loss reference
                ON reference.loss_set_id = run.reference_set AND reference.example_id = r.example_id
            WHERE run_id = $1
        )
        SELECT
            *, {scores},
            coalesce(base_loss > 0 AND base_loss < {settings.number("low_base_loss")}, false) AS low_base_loss,
            coalesce(abs(base_loss - reference_loss) < noise_floor, false) AS unresolved,
            duplicate_of IS NOT NULL AS duplicate
        FROM joined ORDER BY domain, learnability DESC NULLS LAST, example_id, row_number
    """


def scored_table(run_id: int) -> str:
    """Name of a run's scored table."""
    return f"scored_{int(run_id)}"


def build_scored_table(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """(Re)build a run's scored table; for the writer alone."""
    fetch_all(connection, scored_table_sql(scored_table(run_id)), [run_id])
