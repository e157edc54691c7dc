"""The map of a run's rows: points in two dimensions by domain, score or selection, over the density of all rows."""

import html
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from core.exploring.map_plane import MapPlane
from ui.charts.layout import Corners, Span, apply_layout, brush_area
from ui.charts.palette import IN_LEGEND, LINE, PALETTE, SOLID, shown
from ui.charts.planes import density_map

BY_DOMAIN, BY_SCORE, BY_SELECTION = "Domain", "Score", "Selection"
_FAINT = 0.22
_LOW_TO_HIGH = [[0.0, PALETTE[4]], [0.5, PALETTE[7]], [1.0, PALETTE[5]]]
_HOVER = "row %{customdata:,}<br>%{text}<extra></extra>"


def map_figure(
    plane: MapPlane,
    colours: Mapping[str, str],
    colour_by: str,
    score_label: str,
    labels: pd.DataFrame,
    *,
    box: tuple[Span, Span] | None = None,
    lasso: Corners | None = None,
) -> go.Figure:
    """The rows of a map as points; `customdata` is the row number. `colour_by`: one of `BY_DOMAIN`, `BY_SCORE` and
    `BY_SELECTION`; rows that a column `is_kept` of the points is false for are faint. `labels`: x, y and label of
    regions. A drag selects a box or lasso; `box` and `lasso` are the current selection."""
    points = plane.points
    figure = go.Figure()
    if len(plane.cells):
        figure.add_trace(density_map(plane.cells, "x_bin", "y_bin", plane.x_edges, plane.y_edges))
        figure.update_traces(opacity=0.35, hoverinfo="skip", showscale=False)
    if colour_by == BY_SCORE:
        figure.add_trace(_scored(points, score_label))
    else:
        for name, colour, part in _groups(points, colours, colour_by):
            figure.add_traces([_cloud(part, name, colour), _legend_entry(name, colour)])
    few = f"{len(points):,} of {plane.rows:,} rows are drawn; shades count all" if len(plane.cells) else ""
    apply_layout(figure, "Map: rows with similar embeddings are near each other", few, 460)
    plain = {"showgrid": False, "zeroline": False, "showticklabels": False, "title": None}
    figure.update_layout(xaxis=plain, yaxis={**plain, "scaleanchor": "x"})
    texts = [{"x": x, "y": y, "text": html.escape(label)} for x, y, label in labels.itertuples(index=False)]
    figure.update_layout(
        annotations=[{**text, "showarrow": False, "yshift": 12, "font": {"size": 11}} for text in texts]
    )
    brush_area(figure, box, lasso)
    return figure


def _groups(points: pd.DataFrame, colours: Mapping[str, str], colour_by: str) -> list[tuple[str, str, pd.DataFrame]]:
    """Name, colour and points of each group, what is drawn last on top."""
    if colour_by == BY_SELECTION:
        is_kept = points.get("is_kept", pd.Series(False, points.index)).astype(bool)
        return [("Not selected", LINE, points[~is_kept]), ("Selected", PALETTE[0], points[is_kept])]
    is_drawn = points["domain"].isin(list(colours))
    groups = [(str(name), colours[str(name)], part) for name, part in points[is_drawn].groupby("domain", sort=True)]
    others = points[~is_drawn]
    if len(others):
        names = others["domain"].unique()
        name = str(names[0]) if len(names) == 1 else f"{len(names):,} other domains"
        groups.insert(0, (name, PALETTE[-1], others))
    return groups


def _cloud(part: pd.DataFrame, name: str, colour: str) -> go.Scattergl:
    marker = {"color": colour, "size": 5, "opacity": _opacity(part)}
    return _points(part, name=shown(name, IN_LEGEND), legendgroup=name, showlegend=False, marker=marker)


def _legend_entry(name: str, colour: str) -> go.Scattergl:
    """A solid point in the legend, where a cloud's own could be as faint as most of its points."""
    marker = {"color": colour, "size": 5, "opacity": SOLID}
    return go.Scattergl(
        x=[None], y=[None], mode="markers", name=shown(name, IN_LEGEND), legendgroup=name, marker=marker
    )


def _scored(points: pd.DataFrame, label: str) -> go.Scattergl:
    """Points coloured by score; the ends of the scale leave out the outermost hundredth on either side."""
    low, high = points["score"].quantile([0.01, 0.99])
    bar = {"title": {"text": html.escape(label)}, "thickness": 12, "len": 0.6, "outlinewidth": 0}
    marker = {"color": points["score"], "colorscale": _LOW_TO_HIGH, "cmin": low, "cmax": high, "colorbar": bar}
    return _points(points, name="Rows", showlegend=False, marker={**marker, "size": 5, "opacity": _opacity(points)})


def _points(part: pd.DataFrame, **look: object) -> go.Scattergl:
    texts = [
        f"{shown(domain)}<br>{html.escape(text)}" for domain, text in zip(part["domain"], part["text"], strict=True)
    ]
    return go.Scattergl(
        x=part["x"], y=part["y"], customdata=part["row_number"], text=texts, mode="markers", hovertemplate=_HOVER,
        **look,
    )  # fmt: skip


def _opacity(part: pd.DataFrame) -> float | list[float]:
    return [SOLID if is_kept else _FAINT for is_kept in part["is_kept"]] if "is_kept" in part else SOLID
