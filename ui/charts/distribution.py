"""Charts of how one measure is distributed in each domain: histogram, density, cumulative share, ridgeline."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from core.exploring.density import Density
from core.exploring.distributions import Histogram, scored_rows, with_shares
from ui.charts.dressing import Span, axis_title, brush_sideways, column_label, dress, log_ticks
from ui.charts.palette import LINE, faded, shown

HEIGHT = 440
_ROW_HEIGHT = 150
_RIDGE_HEIGHT = 62
_OVERLAP = 1.5  # a ridge reaches half into the one above it
_NO_ROWS = 0.5  # where a log scale of counts puts an empty bin: below one row
_COUNTED = "%{customdata[0]:,} rows, percentile %{customdata[1]:.1f} to %{customdata[2]:.1f}"
_CURVED = "density %{customdata[0]:.3g}, percentile %{customdata[1]:.1f}"

Values = NDArray[np.float64]


def histogram_figure(
    counted: Histogram,
    colours: Mapping[str, str],
    *,
    density: bool = False,
    one_above_another: bool = False,
    log_counts: bool = False,
    cuts: Mapping[str, float] | None = None,
    brushable: bool = False,
    brush: Span | None = None,
) -> go.Figure:
    """Histogram by domain. `density` divides by each domain's scored rows and the bin width; `cuts` are values by
    domain, drawn as dashed lines. Domains without a colour are not drawn. `brushable`: a drag selects a span of the
    axis; `brush` shows the span that is selected."""
    bins = _drawn(with_shares(counted), colours)
    domains = list(bins["domain"].unique())
    figure, rows = _stack(len(domains), one_above_another)
    scored = scored_rows(counted)
    for place, name in enumerate(domains):
        row = place + 1 if rows > 1 else 1
        part = bins[bins["domain"] == name]
        heights = _densities(part, scored[name]) if density else part["rows"].to_numpy(dtype=float)
        trace = _steps(part, heights, name, colours[name], counted.log, _NO_ROWS if log_counts else 0.0)
        if rows > 1:  # no headline says where the pointer is
            trace.hovertemplate = f"%{{customdata[3]:.3g}} to %{{customdata[4]:.3g}}<br>{trace.hovertemplate}"
        figure.add_trace(trace, row=row, col=1)
        if cuts and name in cuts and math.isfinite(cuts[name]):
            _add_cut(figure, cuts[name], name, colours[name], row)
    _dress_distribution(figure, counted, colours, "", "", rows)
    figure.update_yaxes(title="Density" if density else "Rows", rangemode="tozero")
    if log_counts:
        most = max(float(bins["rows"].max()), 1.0) if len(bins) else 1.0
        extent = [math.log10(_NO_ROWS), math.log10(most * 1.3)]
        figure.update_yaxes(type="log", range=extent, title="Rows (log scale)", **log_ticks(1, most, 9))
    if brushable:
        brush_sideways(figure, brush, rows)
    return figure


def density_figure(
    found: Density,
    colours: Mapping[str, str],
    *,
    one_above_another: bool = False,
    brushable: bool = False,
    brush: Span | None = None,
) -> go.Figure:
    """Smoothed density by domain, the area under each curve being the share of the domain's rows that are drawn."""
    curve = _drawn(found.curve, colours)
    domains = list(curve["domain"].unique())
    figure, rows = _stack(len(domains), one_above_another)
    for place, name in enumerate(domains):
        part = curve[curve["domain"] == name]
        trace = _curve(part, part["density"].to_numpy(dtype=float), name, colours[name], rows > 1)
        figure.add_trace(trace.update(fill="tozeroy"), row=place + 1 if rows > 1 else 1, col=1)
    _dress_distribution(figure, found.counted, colours, ": density", _smoothing(found, domains), rows)
    unit = "decade" if found.counted.log else "unit"
    figure.update_yaxes(title=f"Share of rows per {unit}", rangemode="tozero")
    if brushable:
        brush_sideways(figure, brush, rows)
    return figure


def ecdf_figure(
    counted: Histogram, colours: Mapping[str, str], *, brushable: bool = False, brush: Span | None = None
) -> go.Figure:
    """Share of each domain's rows below a value, rows beyond the axis counted; exact at the bins' edges."""
    bins = _drawn(with_shares(counted), colours)
    figure = go.Figure()
    for share in (25, 50, 75):
        figure.add_hline(y=share, line={"color": LINE, "width": 1, "dash": "dot"})
    for name in bins["domain"].unique():
        part = bins[bins["domain"] == name]
        text = shown(name)
        figure.add_trace(
            go.Scatter(
                x=np.append(part["bin_low"].to_numpy()[:1], part["bin_high"].to_numpy()),
                y=100 * np.append(part["share_low"].to_numpy()[:1], part["share_high"].to_numpy()),
                mode="lines",
                name=text,
                line={"color": colours[name], "width": 2},
                hovertemplate=f"%{{y:.1f}} % of {text} below<extra></extra>",
            )
        )
    _dress_distribution(figure, counted, colours, ": share of rows below a value", "", 1, "Beyond the axis")
    figure.update_yaxes(title="Rows below (% of the domain)", range=[0, 101], tickvals=[0, 25, 50, 75, 100])
    if brushable:
        brush_sideways(figure, brush)
    return figure


def ridgeline_figure(
    found: Density,
    quartiles: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    brushable: bool = False,
    brush: Span | None = None,
) -> go.Figure:
    """A smoothed curve a domain, one behind another, each to its own height, with its median and quartiles marked.

    `quartiles`: domain, q25, median, q75, as `core.exploring.distributions.summary` counts them over every row.
    """
    curve = _drawn(found.curve, colours)
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
    note = f"each curve to its own height; median and quartiles marked. {_smoothing(found, domains)}"
    _dress_distribution(figure, found.counted, colours, ", one curve behind another", note[0].upper() + note[1:], 1)
    places = [float(len(domains) - 1 - place) for place in range(len(domains))]
    ridges = {"tickvals": places, "ticktext": [shown(name) for name in domains], "range": [-0.15, len(domains) + 0.65]}
    figure.update_yaxes(title=None, showgrid=False, zeroline=False, automargin=True, **ridges)
    figure.update_layout(height=max(300, 150 + _RIDGE_HEIGHT * len(domains)), showlegend=False)
    if brushable:
        brush_sideways(figure, brush)
    return figure


def _drawn(frame: pd.DataFrame, colours: Mapping[str, str]) -> pd.DataFrame:
    return frame[frame["domain"].isin(list(colours))]


def _stack(domains: int, one_above_another: bool) -> tuple[go.Figure, int]:
    """An empty figure, and how many plots stand one above another in it."""
    rows = domains if one_above_another and domains > 1 else 1
    return make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.12 / rows), rows


def _densities(bins: pd.DataFrame, scored: int) -> Values:
    widths = (bins["bin_high"] - bins["bin_low"]).to_numpy(dtype=float)
    return np.asarray(bins["rows"].to_numpy(dtype=float) / (max(scored, 1) * widths))


def _steps(bins: pd.DataFrame, heights: Values, name: str, colour: str, log: bool, floor: float) -> go.Scatter:
    """The outline of a histogram: bin centres joined by steps that fall on the bins' edges, none below `floor`."""
    low, high = bins["bin_low"].to_numpy(dtype=float), bins["bin_high"].to_numpy(dtype=float)
    if log:
        centres = np.sqrt(low * high)
        ends = (centres[0] * low[0] / high[0], centres[-1] * high[-1] / low[-1])
    else:
        centres = (low + high) / 2
        ends = (centres[0] - (high[0] - low[0]), centres[-1] + (high[-1] - low[-1]))
    counts = np.column_stack([bins["rows"], 100 * bins["share_low"], 100 * bins["share_high"], low, high])
    text = shown(name)
    return go.Scatter(
        x=np.concatenate([ends[:1], centres, ends[1:]]),
        y=np.concatenate([[floor], np.maximum(heights, floor), [floor]]),
        customdata=np.vstack([counts[:1], counts, counts[-1:]]),
        mode="lines",
        name=text,
        line={"shape": "hvh", "color": colour, "width": 1.5},
        fill="tozeroy",
        fillcolor=faded(colour, 0.18),
        hovertemplate=f"{text}: {_COUNTED}<extra></extra>",
    )


def _curve(part: pd.DataFrame, heights: Values, name: str, colour: str, alone: bool) -> go.Scatter:
    text = shown(name)
    at = " at %{x:.3g}" if alone else ""
    percentiles = 50 * (part["share_low"] + part["share_high"])
    return go.Scatter(
        x=part["value"].to_numpy(dtype=float),
        y=heights,
        customdata=np.column_stack([part["density"], percentiles]),
        mode="lines",
        name=text,
        line={"color": colour, "width": 2},
        fillcolor=faded(colour, 0.18),
        hovertemplate=f"{text}{at}: {_CURVED}<extra></extra>",
    )


def _unseen(x: Values, y: Values) -> go.Scatter:
    """A line that only bounds the fill of the next one."""
    return go.Scatter(x=x, y=y, mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False)


def _quartile_marks(marks: list[float], value: Values, heights: Values, base: float, colour: str) -> list[go.Scatter]:
    """Upright lines from a ridge's foot to its curve; the median's is bold."""
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
    """What was smoothed, in words."""
    widths = sorted(found.bandwidths[name] for name in domains)
    if not widths:
        return ""
    unit = " decades" if found.counted.log else ""
    narrow, wide = f"{widths[0]:.2g}", f"{widths[-1]:.2g}"
    return f"Smoothed by a Gaussian of width {narrow if narrow == wide else f'{narrow} to {wide}'}{unit}"


def _add_cut(figure: go.Figure, value: float, name: str, colour: str, row: int) -> None:
    figure.add_vline(x=value, line={"color": colour, "width": 2, "dash": "dash"}, name=shown(name), row=row, col=1)


def _outside_text(counted: Histogram, colours: Mapping[str, str], said: str) -> str:
    outside = _drawn(counted.outside, colours)
    below, above, no_score = (int(outside[name].sum()) for name in ("below", "above", "no_score"))
    parts = [
        f"{below:,} rows below {counted.low:.3g}" if below else "",
        f"{above:,} rows above {counted.high:.3g}" if above else "",
        f"{no_score:,} rows without this score" if no_score else "",
    ]
    found = [part for part in parts if part]
    return f"{said}: {', '.join(found)}" if found else ""


def _dress_distribution(
    figure: go.Figure,
    counted: Histogram,
    colours: Mapping[str, str],
    seen: str,
    note: str,
    rows: int,
    outside: str = "Not drawn",
) -> None:
    """Title, note, the axis of the measure, and what is read out under the pointer."""
    notes = [text for text in (note, _outside_text(counted, colours, outside)) if text]
    height = HEIGHT if rows == 1 else 120 + _ROW_HEIGHT * rows
    dress(figure, f"{column_label(counted.column)} in each domain{seen}", ". ".join(notes), height)
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
