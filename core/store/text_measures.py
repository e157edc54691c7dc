"""Text measures of each example: how much of its response repeats itself or occurs in its prompt, and which prompt.

They depend on the text alone, so they are computed once per example, when it is imported (`core.data.text_shares`).
"""

import duckdb
import pyarrow as pa

from ..data.text_shares import SHARES, text_shares

_MOST_ROWS = 2**17
"""Examples of earlier versions that are in memory at once."""


def insert_measures(examples: duckdb.DuckDBPyRelation) -> None:
    """Insert the measures of examples into `text_measure`, given by example_id, prompt and the columns of `SHARES`;
    only for the writer. `prompt_key` is a hash of the prompt, the same in every version of DuckDB."""
    examples.project(f"example_id, {', '.join(SHARES.names)}, md5_number_lower(prompt)").insert_into("text_measure")


def measure_texts(connection: duckdb.DuckDBPyConnection) -> None:
    """Measure the examples that have no measures yet, those of earlier versions; only for the writer."""
    missing = connection.table("example").filter("example_id NOT IN (SELECT example_id FROM text_measure)")
    some = missing.project("example_id, prompt, response").limit(_MOST_ROWS)
    while (examples := some.to_arrow_table()).num_rows:
        prompts, responses = (examples[side].cast(pa.large_string()) for side in ("prompt", "response"))
        columns = [examples["example_id"], prompts, *text_shares(prompts, responses).columns]
        insert_measures(connection.from_arrow(pa.table(columns, ["example_id", "prompt", *SHARES.names])))
