"""Hand picks with their rows: the row numbers in a run, and the start of the text."""

from collections.abc import Sequence

import pandas as pd

from ..data.scores import score_named
from ..data.snippets import beginning
from ..store import Store
from .recipe import Pick

_ROWS_NAMED = 5  # row numbers of one conversation; it may stand in thousands


def pick_table(store: Store, table: str, score: str, picks: Sequence[Pick]) -> pd.DataFrame:
    """The picks in order, one row each: example_id, keep, note, row_number (first row), rows (row numbers as text),
    domain, value (of the score), prompt (its start). Picks that the run does not have get row_number NA."""
    found = store.frame(
        f"""
        SELECT example_id::VARCHAR AS example_id, min(row_number) AS row_number,
            array_to_string(list(row_number ORDER BY row_number)[:{_ROWS_NAMED}], ', ')
                || if(count(*) > {_ROWS_NAMED}, ', ...', '') AS rows,
            string_agg(DISTINCT domain, ', ' ORDER BY domain) AS domain,
            any_value({score_named(score).name}) AS value,
            {beginning("any_value(prompt)")} AS prompt
        FROM {table} JOIN example USING (example_id)
        WHERE example_id IN (SELECT unnest(?::UUID[])) GROUP BY example_id
        """,
        [[pick.example_id for pick in picks]],
    )
    asked = pd.DataFrame(
        [(pick.example_id, pick.keep, pick.note) for pick in picks], columns=["example_id", "keep", "note"]
    )
    return asked.merge(found.astype({"row_number": "Int64"}), on="example_id", how="left")
