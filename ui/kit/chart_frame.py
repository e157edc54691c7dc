"""A chart on a page: the figure, its brush, and below it its data, CSV download and picture format."""

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
from ui.shell.page_queries import for_downloader
from ui.shell.session import forget, remember, remembered

PICTURES = ("PNG", "SVG")
_QUIET = ["zoomIn2d", "zoomOut2d", "autoScale2d"]
_VALUE = st.column_config.NumberColumn(format="%.4g")
_LABELS = {
    "bin_low": "From",
    "bin_high": "To",
    "share_low": "Share below bin",
    "share_high": "Share up to bin end",
    "base_from": "Base loss from",
    "reference_from": "Reference loss from",
    "tokens_from": "Tokens from",
    "row_number": "Row",
    "share_kept": "Share selected",
    "rows_kept": "Rows selected",
    "kept_by_both": "Selected by both",
    "share_kept_by_both": "Share selected by both",
    "share_kept_rows": "Share of selected rows",
    "share_kept_tokens": "Share of selected tokens",
    "share_rows": "Share of all rows",
    "share_tokens": "Share of all tokens",
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
    """Draw a figure, a `note` below it (trusted markdown), and its data `numbers` (binned, because all of it is sent)
    to read or download. `file_name` is used for the picture and the CSV, without a suffix.

    `selectable`: a drag selects; along x only for figures made with `ui.charts.brush_sideways`. `on_brush` is called
    with the selection event after each drag, before the page reruns; an empty event means that the brush was cleared
    (see `brushes`). Streamlit forgets the selection when the figure changes, so store it in `on_brush` and draw the
    figure with it; the returned event is valid only until then.
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
        show_numbers(numbers, key, file_name)
    return event


def show_numbers(numbers: pd.DataFrame, key: str, file_name: str, *, picture: bool = True) -> None:
    """The data of a chart, in an expander, to read or download. `picture`: the chart can be saved as one, in a format
    chosen here."""
    numbers_of_chart = st.expander("Chart data", key=f"{key}_numbers", on_change="rerun")
    if numbers_of_chart.open:  # a closed expander sends no data
        with numbers_of_chart:
            _show_numbers(numbers, key, file_name, picture)


@dataclass(frozen=True, slots=True)
class _Held:
    """A brush that plotly still draws itself. `figure`: digest of the figure without brush shapes; `brush`: the shapes
    that would show it, None until known."""

    figure: str
    brush: tuple[go.layout.Shape, ...] | None


def _draw_brushable(
    figure: go.Figure, key: str, config: dict[str, Any], on_brush: Callable[[Event], None] | None
) -> Event:
    """Draw a chart that can be brushed.

    Streamlit recreates the chart whenever the figure changes, also when a brush is drawn into it: the chart flickers,
    forgets the drag, and a double click no longer clears it. As long as only the brush has changed since the drag,
    plotly's own drawing of it is therefore used.
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
        else:  # a new key; with the same one, the chart would still show its old drawing
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
    """Remove the brush shapes from a figure and return them."""
    shapes = figure.layout.shapes
    brush = tuple(shape for shape in shapes if shape.name == BRUSH)
    # Always set: Streamlit compares figures including the order of their parts.
    figure.layout.shapes = None
    figure.layout.shapes = [shape for shape in shapes if shape.name != BRUSH] or None
    return brush


def _selections(event: Event | None) -> int:
    """The number of boxes and lassos in an event."""
    selection = (event or {}).get("selection") or {}
    return len(selection.get("box") or ()) + len(selection.get("lasso") or ())


def _description(figure: go.Figure) -> str:
    """The alternative text for screen readers."""
    return f"Chart: {figure.layout.title.text or 'untitled'}. Its data are in the table below."


def _picture(key: str) -> str:
    chosen = st.session_state.get(f"{key}_picture") or remembered("picture")
    return chosen if chosen in PICTURES else PICTURES[0]


def _show_numbers(numbers: pd.DataFrame, key: str, file_name: str, picture: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.download_button(
            "Download CSV",
            for_downloader(partial(_as_csv, numbers)),
            f"{file_name}.csv",
            "text/csv",
            key=f"{key}_csv",
            on_click="ignore",
            icon=":material/download:",
            help="The table below as a file. Values are binned or counted over all rows.",
        )
        if picture:
            st.segmented_control(
                "Picture format",
                PICTURES,
                default=_picture(key),
                required=True,
                key=f"{key}_picture",
                on_change=lambda: remember("picture", st.session_state[f"{key}_picture"]),
                help="Format of the camera button, which appears when you hover over the chart. PNG for slides and "
                "chats; SVG scales without loss and can be edited.",
            )
    labels = {str(name): _label(str(name)) for name in numbers.columns}
    # Text columns have no format; None would hide them.
    formats = {labels[str(name)]: kind for name in numbers.columns if (kind := _format(str(name), numbers[name]))}
    st.dataframe(numbers.rename(columns=labels), hide_index=True, column_config=formats)


def _format(name: str, values: pd.Series) -> Any:
    if name.startswith("share_"):
        return SHARE
    if pd.api.types.is_integer_dtype(values):
        return COUNT
    return _VALUE if pd.api.types.is_numeric_dtype(values) else None


def _as_csv(numbers: pd.DataFrame) -> bytes:
    """As CSV; text that a spreadsheet would read as a formula is escaped."""
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
