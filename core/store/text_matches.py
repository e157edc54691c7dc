"""Text searches: each is looked up once, and its matches are cached for all queries that use it."""

from dataclasses import replace

import duckdb

from ..data.errors import SelectionInvalid
from ..data.filters import RowFilter
from .query_cache import QueryCache, ScratchExecutor


def with_matches(scratch: ScratchExecutor, cache: QueryCache, row_filter: RowFilter) -> RowFilter:
    """The filter with its search looked up. Raises `SelectionInvalid` for a pattern that cannot be read.

    Examples are only ever added, so their number tells whether a lookup is still complete. The filter keeps the
    table's name after this returns: `cache` must hold more tables than are in use at a time.
    """
    if not row_filter.search:
        return row_filter
    condition, values = row_filter.search.condition()
    examples = int(scratch.rows("SELECT count(*) FROM example")[0][0])
    try:
        with cache.table(scratch, f"SELECT example_id FROM example WHERE {condition}", values, [examples]) as table:
            return replace(row_filter, matches=table)
    except duckdb.InvalidInputException as error:
        problem = str(error).splitlines()[0].removeprefix("Invalid Input Error: ")
        raise SelectionInvalid(
            f"The pattern {row_filter.search.query!r} cannot be read ({problem}). Correct it, or search for a phrase."
        ) from error
