"""Binned charts of one measure by domain: histogram and cumulative share (ECDF)."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.exploring.distributions import Histogram, with_shares
from ui.charts.by_domain import IN_READOUT, apply_distribution_layout, drawn_domains, name_plots, stacked_plots
from ui.charts.layout import Span, brush_sideways, log_ticks
from ui.charts.palette import IN_LEGEND, LINE, dashes, faded, shown

_NO_ROWS = 0.5  # height of an empty bin on a log scale of counts: below one row
_COUNTED = "%{customdata[0]:,} rows, percentile %{customdata[1]:.1f} to %{customdata[2]:.1f}"


def histogram_figure(
    counted: Histogram,
    colours: Mapping[str, str],
    *,
    one_above_another: bool = False,
    log_counts: bool = False,
    cuts: Mapping[str, float] | None = None,
    brushable: bool = False,
    brush: Span | None = None,
) -> go.Figure:
    """Histogram by domain. `cuts`: cut-off values by domain, drawn as dashed lines. Domains without a colour are not
    drawn. `brushable`: a drag selects a range of the x axis; `brush` is the current range."""
    bins = drawn_domains(with_shares(counted), colours)
    domains = list(bins["domain"].unique())
    figure, rows = stacked_plots(len(domains), one_above_another)
    dash = dashes(domains, colours)
    for place, name in enumerate(domains):
        row = place + 1 if rows > 1 else 1
        part = bins[bins["domain"] == name]
        trace = _steps(part, name, colours[name], counted.log, _NO_ROWS if log_counts else 0.0)
        trace.line.dash = dash[name]
        if rows > 1:  # stacked plots have no common hover title with the x value
            trace.hovertemplate = f"%{{customdata[3]:.3g}} to %{{customdata[4]:.3g}}<br>{trace.hovertemplate}"
        figure.add_trace(trace, row=row, col=1)
        if cuts and name in cuts and math.isfinite(cuts[name]):
            _add_cut(figure, cuts[name], name, colours[name], row)
    apply_distribution_layout(figure, counted, colours, "", "", rows)
    name_plots(figure, domains, rows)
    figure.update_yaxes(title="Rows", rangemode="tozero")
    if log_counts:
        most = max(float(bins["rows"].max()), 1.0) if len(bins) else 1.0
        extent = [math.log10(_NO_ROWS), math.log10(most * 1.3)]
        figure.update_yaxes(type="log", range=extent, title="Rows (log scale)", **log_ticks(1, most, 9))
    if brushable:
        brush_sideways(figure, brush, rows)
    return figure


def ecdf_figure(
    counted: Histogram, colours: Mapping[str, str], *, brushable: bool = False, brush: Span | None = None
) -> go.Figure:
    """Share of each domain's rows below a value, including rows outside the axis. Exact at the bin edges."""
    bins = drawn_domains(with_shares(counted), colours)
    figure = go.Figure()
    for share in (25, 50, 75):
        figure.add_hline(y=share, line={"color": LINE, "width": 1, "dash": "dot"})
    domains = list(bins["domain"].unique())
    dash = dashes(domains, colours)
    for name in domains:
        part = bins[bins["domain"] == name]
        text = shown(name, IN_READOUT)
        figure.add_trace(
            go.Scatter(
                x=np.append(part["bin_low"].to_numpy()[:1], part["bin_high"].to_numpy()),
                y=100 * np.append(part["share_low"].to_numpy()[:1], part["share_high"].to_numpy()),
                mode="lines",
                name=shown(name, IN_LEGEND),
                line={"color": colours[name], "width": 2, "dash": dash[name]},
                hovertemplate=f"%{{y:.1f}} % of {text} below<extra></extra>",
            )
        )
    apply_distribution_layout(figure, counted, colours, ": share of rows below a value", "", 1, "Outside the axis")
    figure.update_yaxes(title="Rows below (% of the domain)", range=[0, 101], tickvals=[0, 25, 50, 75, 100])
    if brushable:
        brush_sideways(figure, brush)
    return figure


def _steps(bins: pd.DataFrame, name: str, colour: str, log: bool, floor: float) -> go.Scatter:
    """The outline of a histogram as steps at the bin edges, never below `floor`."""
    low, high = bins["bin_low"].to_numpy(dtype=float), bins["bin_high"].to_numpy(dtype=float)
    if log:
        centres = np.sqrt(low * high)
        ends = (centres[0] * low[0] / high[0], centres[-1] * high[-1] / low[-1])
    else:
        centres = (low + high) / 2
        ends = (centres[0] - (high[0] - low[0]), centres[-1] + (high[-1] - low[-1]))
    counts = np.column_stack([bins["rows"], 100 * bins["share_low"], 100 * bins["share_high"], low, high])
    text = shown(name, IN_READOUT)
    return go.Scatter(
        x=np.concatenate([ends[:1], centres, ends[1:]]),
        y=np.concatenate([[floor], np.maximum(bins["rows"].to_numpy(dtype=float), floor), [floor]]),
        customdata=np.vstack([counts[:1], counts, counts[-1:]]),
        mode="lines",
        name=shown(name, IN_LEGEND),
        line={"shape": "hvh", "color": colour, "width": 1.5},
        fill="tozeroy",
        fillcolor=faded(colour, 0.18),
        hovertemplate=f"{text}: {_COUNTED}<extra></extra>",
    )


def _add_cut(figure: go.Figure, value: float, name: str, colour: str, row: int) -> None:
    figure.add_vline(x=value, line={"color": colour, "width": 2, "dash": "dash"}, name=shown(name), row=row, col=1)
