"""Rows of a dataset before any scoring: a page of them, filtered and searched in SQL, and one row with its text."""

from typing import Any

import pandas as pd

from ..data.errors import NotFound
from ..data.examples import Example
from ..data.filters import RowFilter
from ..data.snippets import snippet_ctes
from ..data.text_search import TextSearch
from ..store import Store

MOST_ROWS = 100
"""Rows of one page at most."""
_DUPLICATES_SHOWN = 20


def dataset_page(
    store: Store, dataset: str, domains: tuple[str, ...], search: TextSearch, page: int, page_size: int
) -> tuple[pd.DataFrame, int]:
    """One page (from 1) of a dataset's rows in their order, of these domains (all, if none is named) whose text has
    what is searched, and how many such rows there are.

    Columns: row_number, domain, prompt and response (their beginnings). Raises `NotFound`, or `SelectionInvalid` for an
    invalid pattern.
    """
    dataset_id = store.dataset_id(dataset)
    condition, values = store.searched(RowFilter(domains=domains, search=search)).where()
    chosen = f"FROM dataset_row WHERE dataset_id = ? AND {condition}"
    total = int(store.rows(f"SELECT count(*) {chosen}", [dataset_id, *values])[0][0])
    size = min(page_size, MOST_ROWS)
    frame = store.frame(
        f"""
        WITH shown AS MATERIALIZED (
            SELECT row_number, domain, example_id {chosen}
            ORDER BY row_number LIMIT {size:d} OFFSET {(max(page, 1) - 1) * size:d}
        ),
        {snippet_ctes("shown")}
        SELECT row_number, domain, prompt, response FROM shown JOIN beginning USING (example_id) ORDER BY row_number
        """,
        [dataset_id, *values],
    )
    return frame, total


def dataset_row(store: Store, dataset: str, row_number: int) -> dict[str, Any]:
    """One row: row_number, domain, example_id, `example` (the conversation), source (file name) and line, `duplicates`
    (numbers of other rows with the same conversation, the first few) and duplicate_count.

    Raises `NotFound` if the dataset has no such row.
    """
    dataset_id = store.dataset_id(dataset)
    found = store.rows(
        """
        SELECT row_number, domain, example_id, source.name, line FROM dataset_row JOIN source USING (source_id)
        WHERE dataset_row.dataset_id = ? AND row_number = ?
        """,
        [dataset_id, row_number],
    )
    if not found:
        raise NotFound(f"The dataset {dataset!r} has no row {row_number:,}. Choose a row from the table.")
    number, domain, example_id, source, line = found[0]
    others = store.rows(
        """
        SELECT row_number FROM dataset_row WHERE dataset_id = ? AND example_id = ? AND row_number <> ?
        ORDER BY row_number
        """,
        [dataset_id, example_id, row_number],
    )
    return {
        "row_number": number,
        "domain": domain,
        "example_id": example_id,
        "example": Example.from_json(_conversation(store, example_id)),
        "source": source,
        "line": line,
        "duplicates": [int(other) for (other,) in others[:_DUPLICATES_SHOWN]],
        "duplicate_count": len(others),
    }


def _conversation(store: Store, example_id: object) -> str:
    """First where the text lies, then the text there: a join reads the column of texts whole."""
    place = store.rows("SELECT rowid FROM example WHERE example_id = ?", [example_id])[0][0]
    return str(store.rows("SELECT conversation FROM example WHERE rowid = ?", [place])[0][0])
