"""A chart on a page: drawn, brushed, and with its numbers, its CSV and the form of its picture below it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.data.filters import RANGE_COLUMNS
from core.exporting.writing import guarded
from ui.charts import BRUSH, column_label
from ui.kit.tables import COUNT, SHARE
from ui.shell.session import forget, remember, remembered

PICTURES = ("PNG", "SVG")
_QUIET = ["zoomIn2d", "zoomOut2d", "autoScale2d"]
_VALUE = st.column_config.NumberColumn(format="%.4g")
_LABELS = {
    "bin_low": "From",
    "bin_high": "To",
    "share_low": "Share below its start",
    "share_high": "Share below its end",
    "base_from": "Base loss from",
    "reference_from": "Reference loss from",
    "tokens_from": "Tokens from",
    "row_number": "Row",
}

Event = Mapping[str, Any]


def show_chart(
    figure: go.Figure,
    numbers: pd.DataFrame,
    key: str,
    file_name: str,
    *,
    selectable: bool = False,
    on_brush: Callable[[Event], None] | None = None,
    note: str = "",
) -> Event | None:
    """Draw a figure, `note` below it (our own words, as markdown), and its `numbers` (binned: they are sent whole) to
    read or download. `file_name` is of picture and CSV, without an ending.

    `selectable`: a drag selects, sideways only where the figure says so (`ui.charts.brush_sideways`). `on_brush` is
    called with the selection event once a drag, before the page runs; an empty event means the brush was cleared
    (`brushes` reads events). Streamlit forgets the selection whenever the figure changes, so keep it in `on_brush`
    and draw it from there; the event that is returned holds only until then.
    """
    picture = _picture(key)
    saved = {"format": picture.lower(), "filename": file_name, "scale": 2 if picture == "PNG" else 1}
    config = {"displaylogo": False, "toImageButtonOptions": saved, "modeBarButtonsToRemove": _QUIET}
    event = None
    with st.container(key=key, gap="small"):
        if selectable:
            event = _draw_brushable(figure, key, config, on_brush)
        else:
            st.plotly_chart(figure, key=f"{key}_chart", config=config, alt=_description(figure))
        if note:
            st.caption(note)
        numbers_of_chart = st.expander("Numbers of the chart", key=f"{key}_numbers", on_change="rerun")
        if numbers_of_chart.open:  # a closed one sends nothing
            with numbers_of_chart:
                _show_numbers(numbers, key, file_name)
    return event


@dataclass(frozen=True, slots=True)
class _Held:
    """A brush that plotly itself still draws, on a figure with this digest when the brush is taken off it; `brush` are
    the shapes that would show it, None until they are known."""

    figure: str
    brush: tuple[go.layout.Shape, ...] | None


def _draw_brushable(
    figure: go.Figure, key: str, config: dict[str, Any], on_brush: Callable[[Event], None] | None
) -> Event:
    """Draw a chart that can be brushed.

    Streamlit makes a new chart of every change to a figure, a brush drawn into it included: the chart blinks and
    forgets the drag, and a double click on it no longer clears. So while nothing else has changed since the drag, the
    brush is left to plotly's own drawing.
    """
    sideways = figure.layout.selectdirection == "h"
    mode: tuple[Literal["box", "lasso"], ...] = ("box",) if sideways else ("box", "lasso")
    brush = _take_brush(figure)
    spec = hashlib.sha256(f"{figure.to_json()} {json.dumps(config)}".encode()).hexdigest()
    turn = remembered(f"{key}_turn", 0)
    held = remembered(f"{key}_held")
    drawn_plain = not brush
    if held is not None:
        still_there = held.figure == spec and brush and held.brush in (None, brush)
        if still_there and _selections(st.session_state.get(f"{key}_chart_{turn}")):
            remember(f"{key}_held", _Held(spec, brush))
            drawn_plain = True
        else:  # another name, else the chart would come back with its old drawing
            forget(f"{key}_held")
            turn += 1
            remember(f"{key}_turn", turn)
    if not drawn_plain:
        figure.layout.shapes = [*figure.layout.shapes, *brush]

    def brushed() -> None:
        found = st.session_state[f"{key}_chart_{turn}"]
        if drawn_plain and _selections(found) == 1:
            remember(f"{key}_held", _Held(spec, None))
        else:
            forget(f"{key}_held")
        if on_brush is not None:
            on_brush(found)

    options: dict[str, Any] = {"config": config, "alt": _description(figure), "selection_mode": mode}
    return st.plotly_chart(figure, key=f"{key}_chart_{turn}", on_select=brushed, **options)


def _take_brush(figure: go.Figure) -> tuple[go.layout.Shape, ...]:
    """Take the shapes that show a brush off a figure, and return them."""
    shapes = figure.layout.shapes
    brush = tuple(shape for shape in shapes if shape.name == BRUSH)
    # Set in either case: the order of a figure's parts is part of what Streamlit compares.
    figure.layout.shapes = None
    figure.layout.shapes = [shape for shape in shapes if shape.name != BRUSH] or None
    return brush


def _selections(event: Event | None) -> int:
    """How many boxes and lassos an event holds."""
    selection = (event or {}).get("selection") or {}
    return len(selection.get("box") or ()) + len(selection.get("lasso") or ())


def _description(figure: go.Figure) -> str:
    """What a screen reader says."""
    return f"Chart: {figure.layout.title.text or 'untitled'}. Its numbers are in the table below it."


def _picture(key: str) -> str:
    chosen = st.session_state.get(f"{key}_picture") or remembered("picture")
    return chosen if chosen in PICTURES else PICTURES[0]


def _show_numbers(numbers: pd.DataFrame, key: str, file_name: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.download_button(
            "Download CSV",
            partial(_as_csv, numbers),
            f"{file_name}.csv",
            "text/csv",
            key=f"{key}_csv",
            on_click="ignore",
            icon=":material/download:",
            help="These numbers as a file: binned or counted over all rows, so it stays small.",
        )
        st.segmented_control(
            "Picture",
            PICTURES,
            default=_picture(key),
            required=True,
            key=f"{key}_picture",
            on_change=lambda: remember("picture", st.session_state[f"{key}_picture"]),
            help="What the camera button saves; it appears above the chart when the pointer is over it. "
            "PNG suits slides and chats, SVG stays sharp at any size and can be edited.",
        )
    labels = {str(name): _label(str(name)) for name in numbers.columns}
    # Text has no format: None would hide its column.
    formats = {labels[str(name)]: kind for name in numbers.columns if (kind := _format(str(name), numbers[name]))}
    st.dataframe(numbers.rename(columns=labels), hide_index=True, column_config=formats)


def _format(name: str, values: pd.Series) -> Any:
    if name.startswith("share_"):
        return SHARE
    if pd.api.types.is_integer_dtype(values):
        return COUNT
    return _VALUE if pd.api.types.is_numeric_dtype(values) else None


def _as_csv(numbers: pd.DataFrame) -> bytes:
    """As a file for spreadsheets: text that one would take for a formula is marked as text."""
    texts = {
        name: numbers[name].map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
        for name in numbers.select_dtypes(exclude="number").columns
    }
    return numbers.assign(**texts).to_csv(index=False).encode(errors="replace")


def _label(name: str) -> str:
    if name in RANGE_COLUMNS:
        return column_label(name)
    text = name.replace("_", " ")
    return _LABELS.get(name) or text[:1].upper() + text[1:]
