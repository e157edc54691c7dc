"""The scored table of a run, in SQL: rows joined with losses by role, and every score and flag.

Pages read this table and never compute its columns themselves.
"""

from collections.abc import Collection, Mapping

import duckdb

from ..data import settings
from ..data.loss_roles import LOSS_ROLES
from ..data.scores import LENGTH_BANDS, RELATIVE_TO, SCORES, needed_roles
from .connection import fetch_all
from .text_measures import measure_texts

RUN_LOSSES = "SELECT loss_set_id FROM run_loss WHERE run_id = $1"
"""Loss sets of the run (the parameter)."""
TRAINED_MODELS = f"""
    SELECT model_fingerprint FROM loss_set JOIN run_loss USING (loss_set_id)
    WHERE run_id = $1 AND role IN ({", ".join(f"'{role.name}'" for role in LOSS_ROLES.values() if role.was_trained)})
"""
"""Models of the run that may have been trained on its data."""
_OF_SIDES = ", ".join(
    f"max({column}) FILTER (side = '{side}') AS {side}_{name}"
    for side in ("chosen", "rejected")
    for name, column in (("reward", "implicit_reward"), ("learnability", "learnability"))
)


def scored_table_sql(table: str, present: Collection[str], imported: Mapping[str, int]) -> str:
    """Statement that (re)builds a run's scored table; its only parameter is the run_id. `present`: the roles that the
    run has; a loss set that it lacks is not joined, which would read every loss. `imported`: ids of the dataset's
    imported scores by name.

    One row per dataset row. Losses and scores are NULL if they are undefined, or if the run lacks a role that they
    need; a flag column (see `core.data.scores.FLAGS`) tells why. `duplicate_of` is the first row with the same
    conversation, NULL on that row. `pair` is the row_number of the chosen row of the row's preference pair, and `side`
    is chosen or rejected; both are NULL outside of pairs.
    """
    needed = needed_roles()
    roles = [role for role in needed if role in present] or ["base"]
    losses = [f"{role}_loss" for role in needed]
    computed = [score for score in SCORES.values() if score.name not in losses]
    scores = ", ".join(f"{score.sql} AS {score.name}" for score in computed if not score.relative)
    relative = ", ".join(f"{score.sql} AS {score.name}" for score in computed if score.relative)
    sums = ", ".join(
        f"if(isfinite({role}.{column}), {role}.{column}, NULL) AS {role}_{column}"
        for column in ("nll_sum", "end_nll_sum")
        for role in roles
    )
    means = ", ".join(f"{role}_nll_sum / nullif({role}.token_count, 0) AS {role}_loss" for role in roles)
    absent = "".join(
        f", NULL::DOUBLE AS {role}_{column}"
        for role in needed
        if role not in roles
        for column in ("nll_sum", "end_nll_sum", "loss")
    )
    non_finite = " OR ".join(f"NOT isfinite({role}.nll_sum)" for role in roles)
    not_scored = " OR ".join(
        f"({role}_set.role IS NOT NULL AND {role}.example_id IS NULL)"
        for role in roles
        if not LOSS_ROLES[role].is_partial
    )
    joins = "\n".join(map(_joins, roles)) + "".join(map(_imported_join, imported.values()))
    imports = "".join(f", import_{key:d}.value AS {name}" for name, key in imported.items())
    return f"""
        CREATE OR REPLACE TABLE {table} AS
        WITH joined AS (
            SELECT
                r.row_number, r.example_id, domain, prompt_key,
                coalesce({_each(roles, "token_count")}, 0) AS token_count,
                coalesce({_each(roles, "end_token_count")}) AS end_token_count,
                {sums}, {means}{absent},
                greatest({_each([f"{role}_set" for role in roles], "noise_floor")}) AS noise_floor,
                coalesce(base.truncated, false) AS truncated,
                coalesce(base.left_out > 0, false) AS cut_by_template,
                coalesce(base.left_out, 0) AS left_out,
                coalesce({non_finite}, false) AS non_finite,
                coalesce(base.nll_sum = 0, false) AS zero_base_loss,
                coalesce({_each(roles, "reason")}) AS reason,
                coalesce(base.token_count = 0, false) AS no_scored_token,
                {not_scored} AS not_scored,
                nullif(min(r.row_number) OVER (PARTITION BY r.example_id), r.row_number) AS duplicate_of,
                r.example_id IN (
                    SELECT example_id FROM trained_example WHERE model_fingerprint IN ({TRAINED_MODELS})
                ) AS trained_on,
                coalesce(repeated_share >= {settings.number("repeated_share")}, false) AS repetitive,
                coalesce(copied_share >= {settings.number("copied_share")}, false) AS copies_prompt{imports},
                pair, side
            FROM run
            JOIN dataset_row r USING (dataset_id)
            LEFT JOIN (
                SELECT dataset_id, chosen_row AS pair, unnest([chosen_row, rejected_row]) AS row_number,
                    unnest(['chosen', 'rejected']) AS side
                FROM preference_pair
            ) link ON link.dataset_id = r.dataset_id AND link.row_number = r.row_number
            LEFT JOIN text_measure ON text_measure.example_id = r.example_id
            {joins}
            WHERE run.run_id = $1
        ), scored AS (
            SELECT *, {scores}, (rank() OVER (PARTITION BY domain, token_count = 0 ORDER BY token_count) - 1)
                * {LENGTH_BANDS} // count(*) OVER (PARTITION BY domain, token_count = 0) AS length_band
            FROM joined
        ), response AS (
            SELECT DISTINCT prompt_key, example_id, base_loss FROM joined WHERE base_loss IS NOT NULL
        ), answered AS (
            SELECT prompt_key, min(base_loss, 2) AS lowest_base_losses FROM response GROUP BY ALL HAVING count(*) > 1
        ), paired AS (
            SELECT pair, {settings.number("dpo_beta")} AS dpo_beta, {_OF_SIDES}
            FROM scored WHERE pair IS NOT NULL GROUP BY pair
        )
        SELECT
            * EXCLUDE (prompt_key, {", ".join(RELATIVE_TO)}), {relative},
            coalesce(base_loss > 0 AND base_loss < {settings.number("low_base_loss")}, false) AS low_base_loss,
            coalesce(abs(base_loss - reference_loss) < noise_floor, false) AS unresolved,
            duplicate_of IS NOT NULL AS duplicate,
            token_count > 0 AND token_count < {settings.integer("short_response")} AS short_response
        FROM scored LEFT JOIN answered USING (prompt_key) LEFT JOIN paired USING (pair)
        ORDER BY domain, learnability DESC NULLS LAST, example_id, row_number
    """


def _each(tables: list[str], column: str) -> str:
    return ", ".join(f"{table}.{column}" for table in tables)


def _joins(role: str) -> str:
    """Joins of a role's loss set as `<role>_set`, and of its losses as `<role>`; both are NULL if a run has none."""
    return f"""
            LEFT JOIN (
                SELECT run_id, role, loss_set_id, noise_floor FROM run_loss JOIN loss_set USING (loss_set_id)
                WHERE role = '{role}'
            ) {role}_set ON {role}_set.run_id = run.run_id
            LEFT JOIN loss {role} ON {role}.loss_set_id = {role}_set.loss_set_id AND {role}.example_id = r.example_id"""


def _imported_join(imported_score_id: int) -> str:
    """Joins the values of an imported score as `import_<id>`."""
    name = f"import_{imported_score_id:d}"
    return f"""
            LEFT JOIN imported_value {name}
                ON {name}.imported_score_id = {imported_score_id:d} AND {name}.row_number = r.row_number"""


def table_statement(connection: duckdb.DuckDBPyConnection, run_id: int) -> str:
    """`scored_table_sql` for a run as it is now."""
    present = [role for (role,) in fetch_all(connection, "SELECT role FROM run_loss WHERE run_id = ?", [run_id])]
    return scored_table_sql(scored_table(run_id), present, imported_ids(connection, run_id))


def imported_ids(connection: duckdb.DuckDBPyConnection, run_id: int) -> dict[str, int]:
    """Ids of the scores imported for a run's dataset, by name."""
    sql = (
        "SELECT i.name, imported_score_id FROM imported_score i JOIN run USING (dataset_id) WHERE run_id = ? ORDER BY 2"
    )
    return dict(fetch_all(connection, sql, [run_id]))


def scored_table(run_id: int) -> str:
    """Name of a run's scored table."""
    return f"scored_{int(run_id)}"


def build_scored_tables(connection: duckdb.DuckDBPyConnection, dataset_id: int) -> None:
    """(Re)build the scored tables of a dataset's runs; only for the writer."""
    for (run_id,) in fetch_all(connection, "SELECT run_id FROM run WHERE dataset_id = ?", [dataset_id]):
        build_scored_table(connection, run_id)


def build_scored_table(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """(Re)build a run's scored table; only for the writer."""
    measure_texts(connection)
    fetch_all(connection, table_statement(connection, run_id), [run_id])
