"""Text searches and places on maps: each is resolved once, and what it finds is cached for all queries."""

from dataclasses import replace

import duckdb

from ..data.errors import SelectionInvalid
from ..data.filters import RowFilter
from .query_cache import QueryCache, ScratchExecutor


def with_matches(scratch: ScratchExecutor, cache: QueryCache, row_filter: RowFilter) -> RowFilter:
    """The filter with its search and its conditions on maps resolved. Raises `SelectionInvalid` for an invalid pattern.

    Examples are only ever added, so their number shows whether cached matches are complete. The filter uses the table's
    name after this returns: `cache` must hold more tables than are in use at a time.
    """
    if inside := row_filter.inside_maps():
        with cache.table(scratch, *inside, []) as table:  # maps never change
            row_filter = replace(row_filter, inside=table)
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
            f"The pattern {row_filter.search.query!r} is invalid ({problem}). Correct it, or search for a phrase."
        ) from error
