"""The Curate page's filter, kept in the browser session and in the URL, so that a link reopens the same view."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import streamlit as st

from core.data.errors import SelectionInvalid, UserError
from core.data.filters import EVERYTHING, Region, RowFilter
from core.data.map_columns import map_columns
from core.data.text_search import TextSearch
from core.store import Store
from core.store.map_filters import missing_maps
from core.system.untrusted_json import parse_json_object
from ui.kit.brushes import brushed_box, brushed_lasso, brushed_range
from ui.kit.widgets import show_error
from ui.plain_text import escaped
from ui.shell.session import forget, remember, remembered

_PARAMETER = "filter"
_LONGEST_LINK = 4_000
"""Characters of a filter in a link; browsers and chats cut longer ones. The session keeps the filter all the same."""
_REFUSED = "filter_refused"


def chosen_filter(store: Store) -> RowFilter:
    """The current filter. The URL takes precedence, so that a link shows what its sender saw; a filter that cannot be
    read is reported and ignored."""
    if refused := st.session_state.pop(_REFUSED, None):
        show_error(refused)
    given = st.query_params.get(_PARAMETER)
    row_filter: RowFilter = remembered(_PARAMETER, EVERYTHING)
    if given is not None and given != _as_text(row_filter):
        try:
            row_filter = _from_text(given)
        except UserError as error:
            st.error(escaped(f"{error} The filter in this URL was ignored."))
            row_filter = EVERYTHING
    for key in missing_maps(store, row_filter):
        st.error("The filter is on a map that this workspace does not have. It was removed.")
        row_filter = row_filter.on_columns(*map_columns(key))
    try:
        found = store.searched(row_filter)
    except SelectionInvalid as error:
        show_error(error)
        found = row_filter = replace(row_filter, search=TextSearch())
    set_filter(row_filter)
    return found


def set_filter(row_filter: RowFilter) -> None:
    """Set the filter in the session and the URL. Call it in callbacks, before anything is drawn."""
    if row_filter == EVERYTHING:
        forget(_PARAMETER)
        st.query_params.pop(_PARAMETER, None)
        return
    remember(_PARAMETER, row_filter)
    text = _as_text(row_filter)
    if len(text) > _LONGEST_LINK:
        st.query_params.pop(_PARAMETER, None)
    elif st.query_params.get(_PARAMETER) != text:
        st.query_params[_PARAMETER] = text


def current_filter() -> RowFilter:
    """The filter as last set, for callbacks."""
    found: RowFilter = remembered(_PARAMETER, EVERYTHING)
    return found


@contextmanager
def refusal_shown_next() -> Iterator[None]:
    """Context manager for callbacks, which can draw nothing: a filter that is refused stays unset, and the page that is
    drawn next says why."""
    try:
        yield
    except SelectionInvalid as error:
        st.session_state[_REFUSED] = error


def brush_range(column: str, event: Any) -> None:
    """Turn a chart's x selection into a range on the column; an empty selection removes the range."""
    low, high = brushed_range(event, "x") or (None, None)
    with refusal_shown_next():
        set_filter(current_filter().with_range(column, low, high))


def brush_plane(x: str, y: str, event: Any, log_x: bool = False) -> None:
    """Turn a box or lasso on a chart of two columns into ranges or a region, replacing the previous ones."""
    found = current_filter().on_columns(x, y)
    corners, box = brushed_lasso(event, log_x=log_x), brushed_box(event)
    with refusal_shown_next():
        if corners:
            found = replace(found, regions=(*found.regions, Region(x, y, tuple(corners))))
        elif box:
            for column, (low, high) in zip((x, y), box, strict=True):
                found = found.with_range(column, low, high)
        set_filter(found)


def _as_text(row_filter: RowFilter) -> str:
    fields = {name: value for name, value in row_filter.to_fields().items() if value}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def _from_text(text: str) -> RowFilter:
    return RowFilter.from_fields(parse_json_object(text, "The filter in this URL"))
