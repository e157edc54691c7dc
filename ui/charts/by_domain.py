"""Shared parts of the charts of one measure by domain: the domains drawn, subplots, axis and hover text."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.exploring.distributions import Histogram
from ui.charts.layout import apply_layout, axis_title, column_label, log_ticks
from ui.charts.palette import LINE, shown

HEIGHT = 440
IN_READOUT = 24
"""Characters of a domain name in hover text, which must fit eight domains."""
_ROW_HEIGHT = 150


def drawn_domains(frame: pd.DataFrame, colours: Mapping[str, str]) -> pd.DataFrame:
    """The rows of the drawn domains, which are those with a colour."""
    return frame[frame["domain"].isin(list(colours))]


def stacked_plots(domains: int, one_above_another: bool) -> tuple[go.Figure, int]:
    """An empty figure and its number of stacked plots."""
    rows = domains if one_above_another and domains > 1 else 1
    return make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.12 / rows), rows


def name_plots(figure: go.Figure, domains: list[str], rows: int) -> None:
    """If each domain has its own plot, write its name into the plot and hide the legend."""
    if rows == 1:
        return
    for place, name in enumerate(domains):
        axis = str(place + 1) if place else ""
        figure.add_annotation(
            text=shown(name), x=1, y=1, xref=f"x{axis} domain", yref=f"y{axis} domain", xanchor="right", yanchor="top",
            showarrow=False,
        )  # fmt: skip
    figure.update_layout(showlegend=False)


def apply_distribution_layout(
    figure: go.Figure,
    counted: Histogram,
    colours: Mapping[str, str],
    seen: str,
    note: str,
    rows: int,
    outside: str = "Not drawn",
) -> None:
    """Set title, note, the axis of the measure, and the hover text."""
    notes = [text for text in (note, _outside_text(counted, colours, outside)) if text]
    height = HEIGHT if rows == 1 else 120 + _ROW_HEIGHT * rows
    apply_layout(figure, f"{column_label(counted.column)} by domain{seen}", ". ".join(notes), height)
    axis: dict[str, Any] = {"range": [counted.low, counted.high], "zeroline": True, "zerolinecolor": LINE}
    title = axis_title(counted.column)
    if counted.log:
        axis = {"range": [math.log10(counted.low), math.log10(counted.high)], "type": "log"}
        axis |= log_ticks(counted.low, counted.high)
        title = title[:-1] + ", log scale)" if title.endswith(")") else f"{title} (log scale)"
    readout = {"text": f"{column_label(counted.column)} %{{x:.3g}}"}
    figure.update_xaxes(showgrid=False, hoverformat=".3g", unifiedhovertitle=readout, **axis)
    figure.update_layout({f"xaxis{rows if rows > 1 else ''}": {"title": {"text": title}}})
    figure.update_layout(hovermode="x unified" if rows == 1 else "closest")


def _outside_text(counted: Histogram, colours: Mapping[str, str], prefix: str) -> str:
    outside = drawn_domains(counted.outside, colours)
    low, high = f"{counted.low:.3g}", f"{counted.high:.3g}"
    where = {"below": f"below {low}", "above": f"above {high}", "no_score": "without this score"}
    counts = {name: int(outside[name].sum()) for name in where}
    found = [f"{rows:,} row{'' if rows == 1 else 's'} {where[name]}" for name, rows in counts.items() if rows]
    return f"{prefix}: {', '.join(found)}" if found else ""
