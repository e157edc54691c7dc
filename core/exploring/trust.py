"""Flag counts: how many rows have each flag in each domain, and how many of those a selection keeps."""

import pandas as pd

from ..data.filters import RowFilter
from ..data.reader import Reader
from ..data.scores import FLAGS


def flag_effects(
    store: Reader, table: str, row_filter: RowFilter, kept: tuple[str, list[object]] | None = None
) -> pd.DataFrame:
    """One row per flag and domain with flagged rows: flag, domain, rows, tokens, kept_rows and kept_tokens.

    `kept` is the query of a selection's rows (`core.selection.kept_rows`); without it the kept columns are 0.
    """
    condition, values = row_filter.where()
    kept_sql, kept_values = kept or ("SELECT NULL::BIGINT AS row_number WHERE false", [])
    flags = ", ".join(FLAGS)
    return store.frame(
        f"""
        WITH kept AS (SELECT row_number AS kept_row FROM ({kept_sql})),
        chosen AS (
            SELECT domain, token_count, kept_row IS NOT NULL AS is_kept, {flags}
            FROM {table} LEFT JOIN kept ON kept_row = row_number WHERE {condition}
        )
        SELECT flag, domain, count(*) AS rows, sum(token_count)::BIGINT AS tokens,
            count_if(is_kept) AS kept_rows, coalesce(sum(token_count) FILTER (is_kept), 0)::BIGINT AS kept_tokens
        FROM (UNPIVOT chosen ON {flags} INTO NAME flag VALUE flagged) WHERE flagged
        GROUP BY flag, domain ORDER BY flag, domain
        """,
        [*kept_values, *values],
    )
