"""Browsing: a page of a run's rows, sorted and filtered in SQL, and one row with all its details."""

from typing import Any

import pandas as pd

from ..data.errors import NotFound, SelectionInvalid
from ..data.examples import Example
from ..data.filters import Query, RowFilter
from ..data.loss_roles import is_imported
from ..data.reader import Reader
from ..data.scores import FLAGS, SCORES
from ..data.snippets import snippet_ctes
from .unscored import REASON

SORT_COLUMNS = ("row_number", "domain", "token_count", *SCORES)
_DUPLICATES_SHOWN = 20
_FEW_ROWS = 1000
"""Up to this offset rows are sorted directly; beyond it, a quantile first excludes rows that cannot be on the page,
which is much faster."""
_SPARE = 10  # extra rows, because a share is rounded
# A flag that is usually on all rows or on none would hide the others in a list.
_LISTED_FLAGS = [flag for flag in FLAGS if flag != "trained_on"]
FLAGGED = " OR ".join(_LISTED_FLAGS)
"""SQL condition of rows with any of the flags that a page of rows lists."""
MOST_AT_ONCE = 10_000
"""At most so many conversations are picked by hand in one go: their ids are part of the recipe."""
_FLAGS_SQL = "concat_ws(', ', " + ", ".join(f"CASE WHEN {flag} THEN '{flag}' END" for flag in _LISTED_FLAGS) + ")"


def examples_page(
    store: Reader,
    table: str,
    row_filter: RowFilter,
    sort: str,
    descending: bool,
    page: int,
    page_size: int,
    within: Query = ("true", []),
) -> tuple[pd.DataFrame, int]:
    """One page (from 1) of the rows that pass the filter and the SQL condition `within`, and how many pass in all.

    Columns: row_number, domain, token_count, every score, flags (names but trained_on, comma-separated), prompt and
    response (snippets). Rows without a value come last; ties are ordered by example_id, then row number, so no row is
    on two pages. Raises `SelectionInvalid` for a column that cannot be sorted by.
    """
    if sort not in SORT_COLUMNS and not is_imported(sort):
        raise SelectionInvalid(f"Cannot sort by {sort!r}. Must be one of: {', '.join(SORT_COLUMNS)}.")
    condition, values = _narrowed(row_filter, within)
    counted = f"SELECT count(*), count({sort}) FROM {table} WHERE {condition}"
    total, with_value = (int(count) for count in store.rows(counted, values)[0])
    order = f"{sort} {'DESC' if descending else 'ASC'} NULLS LAST, example_id, row_number"
    offset = (max(page, 1) - 1) * page_size
    last = offset + page_size
    if _FEW_ROWS < last < with_value - _SPARE:
        share = (last + _SPARE) / with_value
        condition, values = _first_share(store, table, (condition, values), sort, descending, share)
    frame = store.frame(
        f"""
        WITH shown_place AS MATERIALIZED (
            SELECT rowid AS place FROM {table} WHERE {condition} ORDER BY {order} LIMIT {page_size:d} OFFSET {offset:d}
        ),
        shown AS MATERIALIZED (SELECT * FROM {table} WHERE rowid IN (SELECT place FROM shown_place)),
        {snippet_ctes("shown")}
        SELECT row_number, domain, token_count, {", ".join(score_columns(store, table))}, {_FLAGS_SQL} AS flags,
            prompt, response
        FROM shown JOIN beginning USING (example_id) ORDER BY {order}
        """,
        values,
    )
    return frame, total


def conversations(store: Reader, table: str, row_filter: RowFilter, within: Query = ("true", [])) -> list[str]:
    """The example_ids of the rows that pass the filter and the SQL condition `within`, each once, in the order of their
    first rows: at most `MOST_AT_ONCE` and one more, which says that there are more."""
    condition, values = _narrowed(row_filter, within)
    found = store.rows(
        f"SELECT example_id::VARCHAR FROM {table} WHERE {condition} GROUP BY example_id ORDER BY min(row_number) "
        f"LIMIT {MOST_AT_ONCE + 1}",
        values,
    )
    return [str(example_id) for (example_id,) in found]


def _narrowed(row_filter: RowFilter, within: Query) -> Query:
    condition, values = row_filter.where()
    return f"({condition}) AND ({within[0]})", [*values, *within[1]]


def _first_share(store: Reader, table: str, chosen: Query, sort: str, descending: bool, share: float) -> Query:
    """The condition and parameters of `chosen`, narrowed to the first share (0 to 1) in the order, ties with its last
    row included."""
    condition, values = chosen
    at = f"quantile_disc({sort}, {1 - share if descending else share:.17f})"
    last = store.rows(f"SELECT {at} FROM {table} WHERE {condition}", values)[0][0]
    return f"({condition}) AND {sort} {'>=' if descending else '<='} ?", [*values, last]


def example(store: Reader, table: str, row_number: int) -> dict[str, Any]:
    """One row: row_number, domain, example_id, `example` (the conversation), source (file name) and line, token_count,
    both NLL sums [nats], noise_floor [nats per token], reason, pair and side (chosen or rejected; None outside of a
    preference pair), `scores` by name (None where undefined), `flags` by
    name, `duplicates` (other row numbers with the same conversation, the first few) and duplicate_count.

    Raises `NotFound` if the run has no such row.
    """
    columns = (
        "row_number", "domain", "example_id", "token_count", "base_nll_sum", "reference_nll_sum", "noise_floor",
        "reason", "pair", "side",
    )  # fmt: skip
    scores = score_columns(store, table)
    found = store.rows(
        f"""
        SELECT {", ".join(f"t.{column}" for column in (*columns, *scores, *FLAGS))}, conversation, source.name, line,
            {REASON}
        FROM {table} t
        JOIN run ON run.run_id = ? JOIN dataset_row r ON r.dataset_id = run.dataset_id AND r.row_number = t.row_number
        JOIN source USING (source_id) JOIN example e ON e.example_id = t.example_id
        WHERE t.row_number = ?
        """,
        [_run_id(table), row_number],
    )
    if not found:
        raise NotFound(f"This run has no row {row_number:,}. Choose a row from the table.")
    *values, conversation, source, line, reason = found[0]
    named = dict(zip((*columns, *scores, *FLAGS), values, strict=True))
    others = _duplicates(store, table, named["example_id"], row_number)
    return {
        **{column: named[column] for column in columns},
        "reason": reason,
        "example": Example.from_json(conversation),
        "source": source,
        "line": line,
        "scores": {name: named[name] for name in scores},
        "flags": [flag for flag in FLAGS if named[flag]],
        "duplicates": others[:_DUPLICATES_SHOWN],
        "duplicate_count": len(others),
    }


def pair_rows(store: Reader, table: str, pair: int) -> tuple[int, int]:
    """The row numbers of a preference pair: of the chosen and of the rejected row."""
    found = store.rows(f"SELECT row_number FROM {table} WHERE pair = ? ORDER BY side", [pair])
    chosen, rejected = (int(number) for (number,) in found)
    return chosen, rejected


def score_columns(store: Reader, table: str) -> list[str]:
    """Names of the scores that a scored table has as columns, those imported for its dataset last."""
    sql = "SELECT i.name FROM imported_score i JOIN run USING (dataset_id) WHERE run_id = ? ORDER BY imported_score_id"
    return [*SCORES, *(str(name) for (name,) in store.rows(sql, [_run_id(table)]))]


def _duplicates(store: Reader, table: str, example_id: object, row_number: int) -> list[int]:
    found = store.rows(
        f"SELECT row_number FROM {table} WHERE example_id = ? AND row_number <> ? ORDER BY row_number",
        [example_id, row_number],
    )
    return [int(number) for (number,) in found]


def _run_id(table: str) -> int:
    """The run of a scored table (from its name), which knows the dataset."""
    return int(table.removeprefix("scored_"))
