"""The Explore page's filter: kept for the browser session, and in the address, so that a link reopens the same view."""

import json
from dataclasses import replace
from typing import Any

import streamlit as st

from core.data.errors import SelectionInvalid
from core.data.filters import EVERYTHING, Region, RowFilter
from core.data.text_search import TextSearch
from core.store import Store
from ui.kit.brushes import brushed_box, brushed_lasso, brushed_range
from ui.kit.widgets import show_error
from ui.shell.session import forget, remember, remembered

_PARAMETER = "filter"


def chosen_filter(store: Store) -> RowFilter:
    """The filter that is set. The address comes first, so that a link shows what its sender saw; one that cannot be
    read is said and dropped."""
    given = st.query_params.get(_PARAMETER)
    row_filter: RowFilter = remembered(_PARAMETER, EVERYTHING)
    if given is not None and given != _as_text(row_filter):
        try:
            row_filter = _from_text(given)
        except SelectionInvalid as error:
            show_error(error)
            row_filter = EVERYTHING
    try:
        found = store.searched(row_filter)
    except SelectionInvalid as error:
        show_error(error)
        found = row_filter = replace(row_filter, search=TextSearch())
    set_filter(row_filter)
    return found


def set_filter(row_filter: RowFilter) -> None:
    """Set the filter, for this session and in the address; to be called in callbacks, before anything is drawn."""
    if row_filter == EVERYTHING:
        forget(_PARAMETER)
        st.query_params.pop(_PARAMETER, None)
        return
    remember(_PARAMETER, row_filter)
    text = _as_text(row_filter)
    if st.query_params.get(_PARAMETER) != text:
        st.query_params[_PARAMETER] = text


def current_filter() -> RowFilter:
    """The filter as set, for callbacks."""
    found: RowFilter = remembered(_PARAMETER, EVERYTHING)
    return found


def brush_range(column: str, event: Any) -> None:
    """A chart's selection sideways becomes a range on the column; an empty one takes it away."""
    low, high = brushed_range(event, "x") or (None, None)
    set_filter(current_filter().with_range(column, low, high))


def brush_plane(x: str, y: str, event: Any, log_x: bool = False) -> None:
    """A box or lasso on a chart of two columns becomes ranges or a region, in place of the ones that it had."""
    found = current_filter().on_columns(x, y)
    corners, box = brushed_lasso(event, log_x=log_x), brushed_box(event)
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
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise SelectionInvalid(f"The filter in this address cannot be read ({error}). It was left out.") from error
    if not isinstance(fields, dict):
        raise SelectionInvalid("The filter in this address is not a JSON object. It was left out.")
    return RowFilter.from_fields(fields)
