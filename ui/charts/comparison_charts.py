"""Charts of two runs: the score in A against the score in B, and the overlap of their top rows."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.data.scores import Score
from core.exploring.rank_changes import PAPER_SHARES
from core.exploring.run_comparison import ScorePlane
from ui.charts import LINE, apply_layout, axis_title, density_map, point_clouds, shown

POOLED = "#808080"
_SHARE_TICKS = (0.005, 0.01, 0.015, 0.03, 0.06, 0.1, 0.167, 0.3, 0.5, 1.0)


def score_points_figure(
    points: pd.DataFrame,
    bounds: tuple[float, float],
    score: Score,
    runs: Sequence[str],
    colours: Mapping[str, str],
) -> go.Figure:
    """One point per row: score in A against score in B, coloured by domain; `customdata` is the row number.

    `points`: row_number, domain, first_score, second_score. Both axes show `bounds`; zoom out to see points beyond
    them. `runs`: names of A and B.
    """
    figure = go.Figure(point_clouds(points, colours, "first_score", "second_score", "A %{x:.3f}, B %{y:.3f}"))
    low, high = bounds
    margin = 0.03 * (high - low)
    scores = points[["first_score", "second_score"]]
    beyond = int(((scores < low - margin) | (scores > high + margin)).any(axis=1).sum())
    note = f"{beyond:,} of {len(points):,} rows are outside the axes; double-click to show them" if beyond else ""
    _layout_plane(figure, score, runs, low - margin, high + margin, note)
    return figure


def score_plane_figure(plane: ScorePlane, score: Score, runs: Sequence[str]) -> go.Figure:
    """The same chart as a density with a logarithmic colour scale. `runs`: names of A and B."""
    hover = "A %{x:.3f}<br>B %{y:.3f}<br>%{customdata:,} rows<extra></extra>"
    figure = go.Figure(density_map(plane.cells, "first_bin", "second_bin", plane.edges, plane.edges, hover))
    note = f"{plane.outside:,} of {plane.rows:,} rows are outside the axes and not drawn" if plane.outside else ""
    _layout_plane(figure, score, runs, plane.low, plane.high, note)
    return figure


def overlap_figure(overlap: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Overlap of the top rows of both runs over the share of rows selected: pooled, by domain, and by chance.

    `overlap`: from `core.exploring.rank_changes.top_overlap`. Domains without a colour are not drawn.
    """
    figure = go.Figure()
    pooled = overlap[overlap["overall"]]
    figure.add_trace(
        go.Scatter(
            x=pooled["share"].tolist(),
            y=pooled["chance"].tolist(),
            mode="lines",
            name="by chance",
            line={"color": LINE, "width": 1.5, "dash": "dot"},
            hovertemplate="by chance: %{y:.1%}<extra></extra>",
        )
    )
    for name, part in overlap[~overlap["overall"]].groupby("domain", sort=True):
        if name in colours:
            figure.add_trace(_overlap_line(part, shown(str(name)), colours[str(name)], 2, "solid"))
    figure.add_trace(_overlap_line(pooled, "all domains, ranked together", POOLED, 3, "dash"))
    apply_layout(figure, "Overlap of the top rows", "Share of A's top rows that are also among B's top rows", 460)
    labels = [f"{share:.3g} %" for share in (100 * tick for tick in _SHARE_TICKS)]
    figure.update_xaxes(
        title="Share of rows selected (log scale; dotted lines: 1.5, 6 and 16.7 %, from the paper)", type="log",
        tickvals=list(_SHARE_TICKS), ticktext=labels, hoverformat=".3~%", showgrid=False,
        range=[math.log10(_SHARE_TICKS[0]) - 0.03, 0.03],
    )  # fmt: skip
    figure.update_yaxes(title="Overlap (share of the top rows)", range=[0, 1.03], tickformat=".0%")
    for share in PAPER_SHARES:
        figure.add_vline(x=share, line={"color": LINE, "width": 1, "dash": "dot"})
    figure.update_layout(hovermode="x unified")
    return figure


def _overlap_line(part: pd.DataFrame, name: str, colour: str, width: int, dash: str) -> go.Scatter:
    drawn = part[part["overlap"].notna()]
    return go.Scatter(
        x=drawn["share"].tolist(),
        y=drawn["overlap"].tolist(),
        customdata=drawn[["both", "top"]].to_numpy().tolist(),
        mode="lines+markers",
        name=name,
        line={"color": colour, "width": width, "dash": dash},
        marker={"size": 4},
        hovertemplate=f"{name}: %{{y:.1%}} (%{{customdata[0]:,}} of %{{customdata[1]:,}})<extra></extra>",
    )


def _layout_plane(figure: go.Figure, score: Score, runs: Sequence[str], low: float, high: float, note: str) -> None:
    """The same range on both axes, and the diagonal on which a row has the same score in both runs."""
    apply_layout(figure, f"{score.label} in run A and run B", note, 500)
    figure.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line={"color": LINE, "width": 2})
    titles = [f"{axis_title(score.name)} in {letter}: {shown(run)}" for letter, run in zip("AB", runs, strict=True)]
    extent = {"range": [low, high], "showgrid": False, "zeroline": True, "zerolinecolor": LINE}
    figure.update_xaxes(title=titles[0], **extent)
    figure.update_yaxes(title=titles[1], **extent)
