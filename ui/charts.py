"""Charts: a DataFrame in, a Plotly figure out, in one palette that both themes and colour-blind eyes can read."""

import html
import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.exploring.distributions import Histogram
from core.exploring.length_bias import LengthPlane
from core.exploring.loss_plane import LossPlane
from core.scores import SCORES

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#AA3377", "#999999")
"""Okabe and Ito's colours without black and yellow, which one theme or the other would swallow."""

QUADRANTS = {
    "learnable": "learnable: high base loss, low after",
    "known": "already known: low under both",
    "hard": "too hard or noise: high under both",
    "worse": "got worse: reference loss above base loss",
}
_DENSITY = [[0.0, "rgba(51, 136, 204, 0.22)"], [0.5, "rgba(51, 136, 204, 0.6)"], [1.0, "rgba(51, 136, 204, 1)"]]
_LINE = "rgba(128, 128, 128, 0.75)"
_FEW = 10
_LONGEST_NAME = 40
_LENGTH_TICKS = [factor * 10**power for power in range(7) for factor in (1, 2, 5)]
_HEIGHT = 420
_ROW_HEIGHT = 150


def domain_colours(domains: Sequence[str]) -> dict[str, str]:
    """A colour for each domain, by its place among the dataset's sorted names: the same on every chart.

    More domains than colours share them; a legend and hover text still tell which is which.
    """
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(sorted(set(domains)))}


def axis_title(column: str) -> str:
    """Label and unit of a score or of the response length."""
    if column == "token_count":
        return "Response length (tokens)"
    score = SCORES[column]
    return score.label if score.unit in score.label.lower() else f"{score.label} ({score.unit})"


def histogram_figure(
    counted: Histogram,
    colours: Mapping[str, str],
    *,
    density: bool = False,
    one_above_another: bool = False,
    cuts: Mapping[str, float] | None = None,
) -> go.Figure:
    """Histogram by domain. `density` divides by each domain's scored rows and the bin width; `cuts` are values by
    domain, drawn as dashed lines. Domains without a colour are not drawn."""
    domains = [name for name in sorted(counted.bins["domain"].unique()) if name in colours]
    rows = len(domains) if one_above_another and len(domains) > 1 else 1
    figure = make_subplots(rows=rows, cols=1, shared_xaxes=True, vertical_spacing=0.12 / rows)
    scored = _scored_rows(counted)
    for place, name in enumerate(domains):
        row = place + 1 if rows > 1 else 1
        bins = counted.bins[counted.bins["domain"] == name]
        heights = _densities(bins, scored[name]) if density else bins["rows"].astype(float)
        figure.add_trace(
            _steps(bins, heights, name, colours[name], "%{y:.3f}" if density else "%{y:,}"), row=row, col=1
        )
        if cuts and name in cuts and math.isfinite(cuts[name]):
            _add_cut(figure, cuts[name], name, colours[name], row)
    outside = counted.outside[counted.outside["domain"].isin(domains)]
    title = f"{_label(counted.column)} in each domain"
    _dress(figure, title, _outside_text(counted, outside), _HEIGHT if rows == 1 else 110 + _ROW_HEIGHT * rows)
    figure.update_xaxes(range=[counted.low, counted.high], zeroline=True, zerolinecolor=_LINE, showgrid=False)
    figure.update_xaxes(hoverformat=".3g")
    figure.update_xaxes(title=axis_title(counted.column), row=rows)
    figure.update_yaxes(title="Density" if density else "Rows", rangemode="tozero")
    figure.update_layout(hovermode="x unified" if rows == 1 else "closest")
    return figure


def loss_plane_figure(plane: LossPlane) -> go.Figure:
    """Rows over base loss and reference loss as a density with a logarithmic colour scale."""
    cells = plane.cells.groupby(["base_bin", "reference_bin"])[["rows"]].sum().reset_index()
    width = plane.bin_width
    edges = [number * width for number in range(plane.size + 1)]
    figure = go.Figure(_density(cells, "base_bin", "reference_bin", edges, edges))
    figure.data[
        0
    ].hovertemplate = "base loss %{x:.2f}<br>reference loss %{y:.2f}<br>%{customdata:,} rows<extra></extra>"
    beyond = f"{plane.outside:,} of {plane.rows:,} rows lie beyond {plane.high:.2f} and are not drawn"
    _dress_plane(figure, plane.high, plane.base_median, plane.reference_median, beyond if plane.outside else "")
    return figure


def loss_points_figure(points: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """The same plane with a point a row, coloured by domain; `customdata` is the row number."""
    figure = go.Figure(
        [
            _points(part, str(name), colours, "base_loss", "reference_loss", "base %{x:.3f}, reference %{y:.3f}")
            for name, part in points.groupby("domain", sort=True)
        ]
    )
    high = float(points[["base_loss", "reference_loss"]].max().max() or 1.0) * 1.03
    medians = points[["base_loss", "reference_loss"]].median()
    _dress_plane(figure, high, float(medians["base_loss"]), float(medians["reference_loss"]), "")
    return figure


def length_plane_figure(plane: LengthPlane) -> go.Figure:
    """Rows over response length and score as a density, with the score's median by length."""
    lengths, scores = plane.length_edges, plane.score_edges
    figure = go.Figure(_density(plane.cells, "length_bin", "score_bin", lengths, scores))
    figure.data[0].hovertemplate = "%{x:,.0f} tokens<br>score %{y:.3f}<br>%{customdata:,} rows<extra></extra>"
    medians = plane.medians[plane.medians["rows"] >= _FEW]
    centres = [math.sqrt(lengths[number] * lengths[number + 1]) for number in medians["length_bin"]]
    figure.add_trace(
        go.Scatter(
            x=centres,
            y=medians["median"],
            customdata=medians["rows"],
            mode="lines",
            name=f"median, where a length has {_FEW} rows or more",
            line={"color": "#D55E00", "width": 2},
            hovertemplate="median %{y:.3f} of %{customdata:,} rows<extra></extra>",
        )
    )
    note = f"{plane.outside:,} rows with a score beyond the axis are not drawn" if plane.outside else ""
    _dress_length(figure, plane.column, note, [scores[0], scores[-1]], lengths)
    return figure


def length_points_figure(points: pd.DataFrame, column: str, colours: Mapping[str, str]) -> go.Figure:
    """A point a row over response length and score, coloured by domain; `customdata` is the row number."""
    figure = go.Figure(
        [
            _points(part, str(name), colours, "token_count", column, "%{x:,} tokens, score %{y:.3f}")
            for name, part in points.groupby("domain", sort=True)
        ]
    )
    _dress_length(figure, column, "", None, None)
    return figure


def _label(column: str) -> str:
    return "Response length" if column == "token_count" else SCORES[column].label


def _shown(name: str) -> str:
    """A domain's name as Plotly may show it: its text is HTML, and a legend has no room for a paragraph."""
    return html.escape(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…")


def _scored_rows(counted: Histogram) -> dict[str, int]:
    inside = counted.bins.groupby("domain")["rows"].sum()
    beyond = counted.outside.set_index("domain")[["below", "above"]].sum(axis=1)
    return {str(name): int(rows) for name, rows in (inside + beyond).items()}


def _densities(bins: pd.DataFrame, scored: int) -> pd.Series:
    return bins["rows"] / (max(scored, 1) * (bins["bin_high"] - bins["bin_low"]))


def _outside_text(counted: Histogram, outside: pd.DataFrame) -> str:
    below, above, no_score = (int(outside[name].sum()) for name in ("below", "above", "no_score"))
    parts = [
        f"{below:,} rows below {counted.low:.3g}" if below else "",
        f"{above:,} above {counted.high:.3g}" if above else "",
        f"{no_score:,} without this score" if no_score else "",
    ]
    found = [part for part in parts if part]
    return f"Not drawn: {', '.join(found)}" if found else ""


def _steps(bins: pd.DataFrame, heights: pd.Series, name: str, colour: str, number: str) -> go.Scatter:
    """The outline of a histogram: bin centres joined by steps that fall on the bins' edges."""
    width = float(bins["bin_high"].iloc[0] - bins["bin_low"].iloc[0])
    centres = ((bins["bin_low"] + bins["bin_high"]) / 2).tolist()
    text = _shown(name)
    return go.Scatter(
        x=[centres[0] - width, *centres, centres[-1] + width],
        y=[0.0, *heights.tolist(), 0.0],
        mode="lines",
        name=text,
        line={"shape": "hvh", "color": colour, "width": 1.5},
        fill="tozeroy",
        fillcolor=_faded(colour, 0.18),
        hovertemplate=f"{text}: {number}<extra></extra>",
    )


def _add_cut(figure: go.Figure, value: float, name: str, colour: str, row: int) -> None:
    figure.add_vline(x=value, line={"color": colour, "width": 2, "dash": "dash"}, name=_shown(name), row=row, col=1)


def _faded(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def _density(
    cells: pd.DataFrame, x_bin: str, y_bin: str, x_edges: Sequence[float], y_edges: Sequence[float]
) -> go.Heatmap:
    """Counts as a heat map over bin edges. Empty cells stay clear; colour is the logarithm, as counts span decades."""
    grid = cells.pivot(index=y_bin, columns=x_bin, values="rows")
    grid = grid.reindex(index=range(len(y_edges) - 1), columns=range(len(x_edges) - 1)).astype(float)
    most = max(float(cells["rows"].max()), 1.0) if len(cells) else 1.0
    ticks = [10**power for power in range(int(math.log10(most)) + 1)]
    return go.Heatmap(
        x=list(x_edges),
        y=list(y_edges),
        z=[[None if math.isnan(rows) else math.log10(rows) for rows in line] for line in grid.to_numpy()],
        customdata=grid.fillna(0).astype(int).to_numpy().tolist(),
        colorscale=_DENSITY,
        zmin=0,
        zmax=max(math.log10(most), 0.3),
        hoverongaps=False,
        colorbar={
            "title": {"text": "Rows"},
            "tickvals": [math.log10(tick) for tick in ticks],
            "ticktext": [f"{tick:,}" for tick in ticks],
            "thickness": 12,
            "len": 0.6,
            "outlinewidth": 0,
        },
    )


def _points(part: pd.DataFrame, name: str, colours: Mapping[str, str], x: str, y: str, hover: str) -> go.Scattergl:
    text = _shown(name)
    return go.Scattergl(
        x=part[x],
        y=part[y],
        customdata=part["row_number"],
        mode="markers",
        name=text,
        marker={"color": colours.get(name, PALETTE[-1]), "size": 5, "opacity": 0.6},
        hovertemplate=f"row %{{customdata:,}}, {text}<br>{hover}<extra></extra>",
    )


def _dress(figure: go.Figure, title: str, note: str, height: int) -> None:
    figure.update_layout(
        title={"text": title, "subtitle": {"text": note}, "x": 0, "xanchor": "left"},
        height=height,
        margin={"l": 10, "r": 10, "t": 70, "b": 10},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        showlegend=True,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": _LINE},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )


def _dress_plane(figure: go.Figure, high: float, base_median: float, reference_median: float, note: str) -> None:
    """Axes, the line of no change, the medians that part high from low, and the quadrants in words."""
    _dress(figure, "Base loss against reference loss", note, 500)
    figure.add_shape(type="line", x0=0, y0=0, x1=high, y1=high, line={"color": _LINE, "width": 1})
    for line in ({"x0": base_median, "x1": base_median, "y0": 0, "y1": high},
                 {"y0": reference_median, "y1": reference_median, "x0": 0, "x1": high}):  # fmt: skip
        figure.add_shape(type="line", line={"color": _LINE, "width": 1, "dash": "dot"}, **line)
    corners = {"learnable": (1, 0), "known": (0, 0), "hard": (1, 1), "worse": (0, 1)}
    for name, (x, y) in corners.items():
        figure.add_annotation(
            text=QUADRANTS[name],
            x=x,
            y=high if y else 0,
            xref="x domain",
            xanchor="right" if x else "left",
            yanchor="bottom" if y else "top",
            showarrow=False,
        )
    figure.update_xaxes(title=axis_title("base_loss"), range=[0, high], showgrid=False, zeroline=False)
    # Room above and below the data for the quadrants' names, so that they cover no row.
    room = [-0.07 * high, 1.07 * high]
    figure.update_yaxes(title=axis_title("reference_loss"), range=room, showgrid=False, zeroline=False)


def _dress_length(
    figure: go.Figure, column: str, note: str, scores: list[float] | None, lengths: list[int] | None
) -> None:
    _dress(figure, f"{_label(column)} against response length", note, 460)
    extent = [math.log10(lengths[0]), math.log10(lengths[-1])] if lengths else None
    figure.update_xaxes(title=axis_title("token_count"), type="log", range=extent, showgrid=False)
    figure.update_xaxes(tickvals=_LENGTH_TICKS, ticktext=[f"{tick:,}" for tick in _LENGTH_TICKS])
    figure.update_yaxes(title=axis_title(column), range=scores, zeroline=True, zerolinecolor=_LINE, showgrid=False)
