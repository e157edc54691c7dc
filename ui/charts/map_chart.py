"""The map of a run's rows: points in two dimensions by domain, score, selection or flag, over all rows' density."""

import html
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from core.exploring.map_plane import MapPlane
from ui.charts.layout import Corners, Span, apply_layout, brush_area
from ui.charts.palette import IN_LEGEND, LINE, PALETTE, shown
from ui.charts.planes import density_map, domain_groups, legend_entry, opacity

BY_DOMAIN, BY_SCORE, BY_SELECTION, BY_FLAG = "Domain", "Score", "Selection", "Flag"
_LOW_TO_HIGH = [[0.0, PALETTE[4]], [0.5, PALETTE[7]], [1.0, PALETTE[5]]]
_HOVER = "row %{customdata:,}<br>%{text}<extra></extra>"


def map_figure(
    plane: MapPlane,
    colours: Mapping[str, str],
    colour_by: str,
    score_label: str,
    labels: pd.DataFrame,
    *,
    flag: str = "",
    box: tuple[Span, Span] | None = None,
    lasso: Corners | None = None,
) -> go.Figure:
    """The rows of a map as points; `customdata` is the row number. `colour_by`: one of `BY_DOMAIN`, `BY_SCORE`,
    `BY_SELECTION` and `BY_FLAG`; rows that a column `is_kept` of the points is false for are faint. `flag`: the label
    of what a column `is_flagged` says. `labels`: x, y and label of regions. A drag selects a box or lasso; `box` and
    `lasso` are the current selection."""
    points = plane.points
    figure = go.Figure()
    if len(plane.cells):
        figure.add_trace(density_map(plane.cells, "x_bin", "y_bin", plane.x_edges, plane.y_edges))
        figure.update_traces(opacity=0.35, hoverinfo="skip", showscale=False)
    if colour_by == BY_SCORE:
        figure.add_trace(_scored(points, score_label))
    else:
        for name, colour, part in _groups(points, colours, colour_by, flag):
            marker = {"color": colour, "size": 5, "opacity": opacity(part)}
            cloud = _points(part, name=shown(name, IN_LEGEND), marker=marker)
            figure.add_traces([cloud, legend_entry(cloud)])
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


def _groups(
    points: pd.DataFrame, colours: Mapping[str, str], colour_by: str, flag: str
) -> list[tuple[str, str, pd.DataFrame]]:
    """Name, colour and points of each group, what is drawn last on top."""
    if colour_by == BY_FLAG:
        has_it = points["is_flagged"].astype(bool)
        return [("Other rows", LINE, points[~has_it]), (flag, PALETTE[1], points[has_it])]
    if colour_by == BY_SELECTION:
        is_kept = points.get("is_kept", pd.Series(False, points.index)).astype(bool)
        return [("Not selected", LINE, points[~is_kept]), ("Selected", PALETTE[0], points[is_kept])]
    return sorted(domain_groups(points, colours), key=lambda group: group[0] in colours)  # other domains first


def _scored(points: pd.DataFrame, label: str) -> go.Scattergl:
    """Points coloured by score; the ends of the scale leave out the outermost hundredth on either side."""
    low, high = points["score"].quantile([0.01, 0.99])
    bar = {"title": {"text": html.escape(label)}, "thickness": 12, "len": 0.6, "outlinewidth": 0}
    marker = {"color": points["score"], "colorscale": _LOW_TO_HIGH, "cmin": low, "cmax": high, "colorbar": bar}
    return _points(points, name="Rows", showlegend=False, marker={**marker, "size": 5, "opacity": opacity(points)})


def _points(part: pd.DataFrame, **look: object) -> go.Scattergl:
    texts = [
        f"{shown(domain)}<br>{html.escape(text)}" for domain, text in zip(part["domain"], part["text"], strict=True)
    ]
    return go.Scattergl(
        x=part["x"], y=part["y"], customdata=part["row_number"], text=texts, mode="markers", hovertemplate=_HOVER,
        **look,
    )  # fmt: skip
