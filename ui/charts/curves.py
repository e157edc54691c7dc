"""Smoothed curves of one measure by domain: overlaid, stacked, or as ridgelines."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from core.exploring.density import Density
from ui.charts.by_domain import IN_READOUT, apply_distribution_layout, drawn_domains, name_plots, stacked_plots
from ui.charts.layout import Span, brush_sideways
from ui.charts.palette import IN_LEGEND, dashes, faded, shown

Values = NDArray[np.float64]

_RIDGE_HEIGHT = 62
_OVERLAP = 1.5  # a ridge covers up to half of the one above it
_CURVED = "density %{customdata[0]:.3g}, percentile %{customdata[1]:.1f}"


def density_figure(
    found: Density,
    colours: Mapping[str, str],
    *,
    one_above_another: bool = False,
    brushable: bool = False,
    brush: Span | None = None,
) -> go.Figure:
    """Smoothed density by domain. The area under a curve is the share of the domain's rows within the axis."""
    curve = drawn_domains(found.curve, colours)
    domains = list(curve["domain"].unique())
    figure, rows = stacked_plots(len(domains), one_above_another)
    dash = dashes(domains, colours)
    for place, name in enumerate(domains):
        part = curve[curve["domain"] == name]
        trace = _curve(part, part["density"].to_numpy(dtype=float), name, colours[name], rows > 1)
        trace.update(fill="tozeroy", line={"dash": dash[name]})
        figure.add_trace(trace, row=place + 1 if rows > 1 else 1, col=1)
    apply_distribution_layout(figure, found.counted, colours, ": density", _smoothing(found, domains), rows)
    name_plots(figure, domains, rows)
    unit = "decade" if found.counted.log else "unit"
    title = "Density" if rows > 1 else f"Density (share of rows per {unit})"
    figure.update_yaxes(title=title, rangemode="tozero")
    if brushable:
        brush_sideways(figure, brush, rows)
    return figure


def ridgeline_figure(
    found: Density,
    quartiles: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    brushable: bool = False,
    brush: Span | None = None,
) -> go.Figure:
    """One smoothed curve per domain, each scaled to its own maximum, with median and quartiles marked.

    `quartiles`: domain, q25, median, q75 over all rows, from `core.exploring.distributions.summary`.
    """
    curve = drawn_domains(found.curve, colours)
    domains = list(curve["domain"].unique())
    marks = quartiles.set_index("domain")
    figure = go.Figure()
    for place, name in enumerate(domains):
        base = float(len(domains) - 1 - place)
        part = curve[curve["domain"] == name]
        value, density = part["value"].to_numpy(dtype=float), part["density"].to_numpy(dtype=float)
        heights = base + _OVERLAP * density / (density.max() or 1.0)
        figure.add_trace(_unseen(value[[0, -1]], np.array([base, base])))
        figure.add_trace(_curve(part, heights, name, colours[name], False).update(fill="tonexty", showlegend=False))
        if name in marks.index:
            found_marks = [float(marks.loc[name, mark]) for mark in ("q25", "median", "q75")]
            figure.add_traces(_quartile_marks(found_marks, value, heights, base, colours[name]))
    note = f"Each curve is scaled to its own maximum; median and quartiles are marked. {_smoothing(found, domains)}"
    apply_distribution_layout(figure, found.counted, colours, ": ridgelines", note, 1)
    places = [float(len(domains) - 1 - place) for place in range(len(domains))]
    ridges = {"tickvals": places, "ticktext": [shown(name) for name in domains], "range": [-0.15, len(domains) + 0.65]}
    figure.update_yaxes(title=None, showgrid=False, zeroline=False, automargin=True, **ridges)
    figure.update_layout(height=max(300, 150 + _RIDGE_HEIGHT * len(domains)))
    figure.update_layout(legend_traceorder="normal")  # the hover text follows this order, top down
    if brushable:
        brush_sideways(figure, brush)
    return figure


def _curve(part: pd.DataFrame, heights: Values, name: str, colour: str, alone: bool) -> go.Scatter:
    text = shown(name, IN_READOUT)
    at = " at %{x:.3g}" if alone else ""
    percentiles = 50 * (part["share_low"] + part["share_high"])
    return go.Scatter(
        x=part["value"].to_numpy(dtype=float),
        y=heights,
        customdata=np.column_stack([part["density"], percentiles]),
        mode="lines",
        name=shown(name, IN_LEGEND),
        line={"color": colour, "width": 2},
        fillcolor=faded(colour, 0.18),
        hovertemplate=f"{text}{at}: {_CURVED}<extra></extra>",
    )


def _unseen(x: Values, y: Values) -> go.Scatter:
    """An invisible line that bounds the fill of the next one."""
    return go.Scatter(x=x, y=y, mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False)


def _quartile_marks(marks: list[float], value: Values, heights: Values, base: float, colour: str) -> list[go.Scatter]:
    """Vertical lines from the base of a ridge to its curve; the median is bold."""
    return [
        go.Scatter(
            x=[mark, mark],
            y=[base, float(np.interp(mark, value, heights))],
            mode="lines",
            line={"color": colour, "width": width},
            hoverinfo="skip",
            showlegend=False,
        )
        for mark, width in zip(marks, (1.0, 3.0, 1.0), strict=True)
        if value[0] <= mark <= value[-1]
    ]


def _smoothing(found: Density, domains: list[str]) -> str:
    """The smoothing widths, as text."""
    widths = sorted(found.bandwidths[name] for name in domains)
    if not widths:
        return ""
    unit = " decades" if found.counted.log else ""
    narrow, wide = f"{widths[0]:.2g}", f"{widths[-1]:.2g}"
    return f"Gaussian smoothing, width {narrow if narrow == wide else f'{narrow} to {wide}'}{unit}"
