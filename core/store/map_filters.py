"""The maps that filters name: a filter on one that is not there would drop every row without a word."""

from ..data.errors import SelectionInvalid
from ..data.filters import RowFilter
from ..data.reader import Reader


def missing_maps(store: Reader, row_filter: RowFilter) -> list[str]:
    """Keys of the maps that the filter has conditions on and the store does not have."""
    if not (named := row_filter.maps()):
        return []
    return sorted(set(named) - {str(key) for (key,) in store.rows("SELECT key FROM map_set")})


def check_maps(store: Reader, row_filter: RowFilter) -> None:
    """Raise `SelectionInvalid` if the filter is on a map that the store does not have."""
    if missing_maps(store, row_filter):
        raise SelectionInvalid(
            "The filter is on a map that this workspace does not have. Remove the filter, or use the workspace in "
            "which it was drawn."
        )
