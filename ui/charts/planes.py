"""Charts of rows over two measures: base loss against reference loss, and response length against a score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.exploring.length_bias import LengthPlane
from core.exploring.loss_plane import LossPlane
from core.exploring.score_plane import TwoScores
from ui.charts.layout import Corners, Span, apply_layout, axis_title, brush_area, column_label, log_ticks
from ui.charts.palette import IN_LEGEND, LINE, PALETTE, SOLID, shown

QUADRANTS = {
    "learnable": "learnable: high base loss, low reference loss",
    "known": "already known: both losses low",
    "hard": "hard or noisy: both losses high",
    "worse": "worse: reference loss above base loss",
}
_DENSITY = [[0.0, "rgba(51, 136, 204, 0.22)"], [0.5, "rgba(51, 136, 204, 0.6)"], [1.0, "rgba(51, 136, 204, 1)"]]
_FEW = 10
_FAINT = 0.22


@dataclass(frozen=True, slots=True)
class Cuts:
    """Cut-offs of a selection: the score that it ranks by, and (value, colour) of each line."""

    score: str
    lines: tuple[tuple[float, str], ...]


def loss_plane_figure(
    plane: LossPlane,
    *,
    brushable: bool = False,
    box: tuple[Span, Span] | None = None,
    lasso: Corners | None = None,
    cuts: Cuts | None = None,
) -> go.Figure:
    """Density of rows over base loss and reference loss, with a logarithmic colour scale.

    `brushable`: a drag selects a box or lasso; `box` ((x0, x1), (y0, y1)) and `lasso` are the current selection.
    `cuts`: drawn as lines, where the score is one of the two losses.
    """
    cells = plane.cells.groupby(["base_bin", "reference_bin"])[["rows"]].sum().reset_index()
    width = plane.bin_width
    edges = [number * width for number in range(plane.size + 1)]
    hover = "base loss %{x:.2f}<br>reference loss %{y:.2f}<br>%{customdata:,} rows<extra></extra>"
    figure = go.Figure(density_map(cells, "base_bin", "reference_bin", edges, edges, hover))
    beyond = f"{plane.outside:,} of {plane.rows:,} rows have a loss above {plane.high:.2f} and are not drawn"
    _layout_plane(figure, plane.high, plane.base_median, plane.reference_median, beyond if plane.outside else "")
    if cuts:
        _add_cuts(figure, cuts, plane.high)
    if brushable:
        brush_area(figure, box, lasso)
    return figure


def loss_points_figure(
    points: pd.DataFrame,
    colours: Mapping[str, str],
    *,
    brushable: bool = False,
    box: tuple[Span, Span] | None = None,
    lasso: Corners | None = None,
    cuts: Cuts | None = None,
) -> go.Figure:
    """The same chart with one point per row, coloured by domain; `customdata` is the row number. Rows that a column
    `is_kept` of the points is false for are faint."""
    hover = "base %{x:.3f}, reference %{y:.3f}"
    figure = go.Figure(point_clouds(points, colours, "base_loss", "reference_loss", hover))
    high = float(points[["base_loss", "reference_loss"]].max().max() or 1.0) * 1.03
    medians = points[["base_loss", "reference_loss"]].median()
    _layout_plane(figure, high, float(medians["base_loss"]), float(medians["reference_loss"]), "")
    if cuts:
        _add_cuts(figure, cuts, high)
    if brushable:
        brush_area(figure, box, lasso)
    return figure


def length_plane_figure(
    plane: LengthPlane,
    *,
    brushable: bool = False,
    box: tuple[Span, Span] | None = None,
    lasso: Corners | None = None,
) -> go.Figure:
    """Density of rows over response length and score, with the median score by length."""
    lengths, scores = plane.length_edges, plane.score_edges
    hover = "%{x:,.0f} tokens<br>score %{y:.3f}<br>%{customdata:,} rows<extra></extra>"
    figure = go.Figure(density_map(plane.cells, "length_bin", "score_bin", lengths, scores, hover))
    medians = plane.medians[plane.medians["rows"] >= _FEW]
    centres = [math.sqrt(lengths[number] * lengths[number + 1]) for number in medians["length_bin"]]
    figure.add_trace(
        go.Scatter(
            x=centres,
            y=medians["median"],
            customdata=medians["rows"],
            mode="lines",
            name=f"median score (lengths with at least {_FEW} rows)",
            line={"color": PALETTE[5], "width": 2},
            hovertemplate="median %{y:.3f} of %{customdata:,} rows<extra></extra>",
        )
    )
    note = f"{plane.outside:,} rows have a score outside the axis and are not drawn" if plane.outside else ""
    _layout_length(figure, plane.column, note, (lengths[0], lengths[-1]), (scores[0], scores[-1]))
    if brushable:
        brush_area(figure, box, lasso)
    return figure


def length_points_figure(
    points: pd.DataFrame,
    column: str,
    colours: Mapping[str, str],
    *,
    brushable: bool = False,
    box: tuple[Span, Span] | None = None,
    lasso: Corners | None = None,
) -> go.Figure:
    """One point per row over response length and score, coloured by domain; `customdata` is the row number."""
    figure = go.Figure(point_clouds(points, colours, "token_count", column, "%{x:,} tokens, score %{y:.3f}"))
    lengths = points["token_count"]
    _layout_length(figure, column, "", (float(lengths.min()) * 0.9, float(lengths.max()) * 1.1), None)
    if brushable:
        brush_area(figure, box, lasso)
    return figure


def two_scores_figure(plane: TwoScores) -> go.Figure:
    """Density of rows over two scores; cells with selected rows are outlined by a mark whose size is their share."""
    hover = f"{column_label(plane.x)} %{{x:.3g}}<br>{column_label(plane.y)} %{{y:.3g}}"
    hover += "<br>%{customdata:,} rows<extra></extra>"
    figure = go.Figure(density_map(plane.cells, "x_bin", "y_bin", plane.x_edges, plane.y_edges, hover))
    chosen = plane.cells[plane.cells["kept"] > 0]
    x, y = (
        [(edges[place] + edges[place + 1]) / 2 for place in chosen[name]]
        for edges, name in ((plane.x_edges, "x_bin"), (plane.y_edges, "y_bin"))
    )
    figure.add_scatter(
        x=x, y=y, mode="markers", name="Selected (size: share of the cell)", hoverinfo="skip",
        marker={"symbol": "square-open", "color": LINE, "size": (2 + 6 * chosen["kept"] / chosen["rows"]).tolist()},
    )  # fmt: skip
    outside = f"{plane.outside:,} of {plane.rows:,} rows lie beyond the edges" if plane.outside else ""
    apply_layout(figure, f"{column_label(plane.y)} against {column_label(plane.x)}", outside, 360)
    figure.update_xaxes(title=axis_title(plane.x))
    figure.update_yaxes(title=axis_title(plane.y))
    return figure


def density_map(
    cells: pd.DataFrame, x_bin: str, y_bin: str, x_edges: Sequence[float], y_edges: Sequence[float], hover: str = ""
) -> go.Heatmap:
    """Counts as a heat map over bin edges, on a logarithmic colour scale. Empty cells are transparent."""
    grid = cells.pivot(index=y_bin, columns=x_bin, values="rows")
    grid = grid.reindex(index=range(len(y_edges) - 1), columns=range(len(x_edges) - 1)).astype(float)
    most = max(float(cells["rows"].max()), 1.0) if len(cells) else 1.0
    ticks = [10**power for power in range(int(math.log10(most)) + 1)]
    return go.Heatmap(
        x=np.asarray(x_edges),
        y=np.asarray(y_edges),
        z=np.log10(grid.to_numpy()),  # NaN where there is no row
        customdata=grid.fillna(0).astype(int).to_numpy(),
        hovertemplate=hover or None,
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


def point_clouds(points: pd.DataFrame, colours: Mapping[str, str], x: str, y: str, hover: str) -> list[go.Scattergl]:
    """Rows as points: a cloud for each domain with a colour, and one for all others. `hover` is a template of x and y;
    row number and domain are added to it."""
    groups = domain_groups(points, colours)
    drawn = [_cloud(part, name, colour, x, y, hover) for name, colour, part in groups]
    return [*drawn, *(legend_entry(cloud) for cloud in drawn)] if "is_kept" in points else drawn


def domain_groups(points: pd.DataFrame, colours: Mapping[str, str]) -> list[tuple[str, str, pd.DataFrame]]:
    """Name, colour and points of each domain with a colour, by name, and at the end of all others together."""
    is_drawn = points["domain"].isin(list(colours))
    groups = [(str(name), colours[str(name)], part) for name, part in points[is_drawn].groupby("domain", sort=True)]
    others = points[~is_drawn]
    if len(others):
        names = others["domain"].unique()
        name = str(names[0]) if len(names) == 1 else f"{len(names):,} other domains"
        groups.append((name, PALETTE[-1], others))
    return groups


def legend_entry(cloud: go.Scattergl) -> go.Scattergl:
    """A solid point in the legend for a cloud, whose own entry would be as faint as most of its points."""
    cloud.update(showlegend=False, legendgroup=cloud.name)
    marker = {"color": cloud.marker.color, "size": cloud.marker.size, "opacity": SOLID}
    return go.Scattergl(x=[None], y=[None], mode="markers", name=cloud.name, legendgroup=cloud.name, marker=marker)


def opacity(part: pd.DataFrame) -> float | list[float]:
    """Of each point: faint where a column `is_kept` is false."""
    return [SOLID if is_kept else _FAINT for is_kept in part["is_kept"]] if "is_kept" in part else SOLID


def _cloud(part: pd.DataFrame, name: str, colour: str, x: str, y: str, hover: str) -> go.Scattergl:
    domains = part["domain"]
    # One text for all points of a domain: thousands of equal ones would be sent.
    text = shown(name) if domains.nunique() == 1 else [shown(str(domain)) for domain in domains]
    return go.Scattergl(
        x=part[x],
        y=part[y],
        customdata=part["row_number"],
        text=text,
        mode="markers",
        name=shown(name, IN_LEGEND),
        marker={"color": colour, "size": 5, "opacity": opacity(part)},
        hovertemplate=f"row %{{customdata:,}}, %{{text}}<br>{hover}<extra></extra>",
    )


def _add_cuts(figure: go.Figure, cuts: Cuts, high: float) -> None:
    """Lines of equal score at the cuts: through the origin for a share of the base loss, along the diagonal for a
    difference, along an axis for one of the losses."""
    lines = []
    for value, colour in cuts.lines:
        ends = {
            "learnability": (0.0, 0.0, high, high * (1 - value)),
            "loss_difference": (value, 0.0, high + value, high),
            "base_loss": (value, 0.0, value, high),
            "reference_loss": (0.0, value, high, value),
        }
        if cuts.score not in ends:
            return
        x0, y0, x1, y1 = ends[cuts.score]
        line = {"color": colour, "width": 1.5, "dash": "dash"}
        lines.append({"type": "line", "x0": x0, "y0": y0, "x1": x1, "y1": y1, "line": line, "name": "cut"})
    figure.layout.shapes = [*figure.layout.shapes, *lines]  # update_layout would compare them one by one


def _layout_plane(figure: go.Figure, high: float, base_median: float, reference_median: float, note: str) -> None:
    """Axes, the no-change diagonal, the median lines, and the labels of the quadrants."""
    apply_layout(figure, "Base loss against reference loss", note, 500)
    dotted = {"color": LINE, "width": 1, "dash": "dot"}
    lines = [
        {"x0": 0, "y0": 0, "x1": high, "y1": high, "line": {"color": LINE, "width": 1}},
        {"x0": base_median, "x1": base_median, "y0": 0, "y1": high, "line": dotted},
        {"x0": 0, "x1": high, "y0": reference_median, "y1": reference_median, "line": dotted},
    ]
    corners = {"learnable": (1, 0), "known": (0, 0), "hard": (1, 1), "worse": (0, 1)}
    labels = [
        {
            "text": QUADRANTS[name],
            "x": x,
            "y": high if y else 0,
            "xref": "x domain",
            "xanchor": "right" if x else "left",
            "yanchor": "bottom" if y else "top",
            "showarrow": False,
        }
        for name, (x, y) in corners.items()
    ]
    # Space above and below the data for the quadrant labels, so that they cover no rows.
    room = [-0.07 * high, 1.07 * high]
    plain = {"showgrid": False, "zeroline": False}
    # Whole parts are set: update_layout would compare them with what is there, for tens of milliseconds.
    figure.layout.shapes = [{"type": "line", **line} for line in lines]
    figure.layout.annotations = labels
    figure.layout.xaxis = {"title": {"text": axis_title("base_loss")}, "range": [0, high], **plain}
    figure.layout.yaxis = {"title": {"text": axis_title("reference_loss")}, "range": room, **plain}


def _layout_length(figure: go.Figure, column: str, note: str, lengths: Span, scores: Span | None) -> None:
    apply_layout(figure, f"{column_label(column)} against response length", note, 460)
    extent = [math.log10(end) for end in lengths]
    figure.update_xaxes(title=axis_title("token_count"), type="log", range=extent, showgrid=False)
    figure.update_xaxes(**log_ticks(*lengths))
    figure.update_yaxes(title=axis_title(column), range=scores, zeroline=True, zerolinecolor=LINE, showgrid=False)
