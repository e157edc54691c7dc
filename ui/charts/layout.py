"""Shared layout of all charts: title, legend, axis labels, and how a brush is drawn."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from core.data.scores import score_named
from ui.charts.palette import LINE, PALETTE

BRUSH = "brush"
"""Name of the shapes that show a brush, by which `ui.kit.chart_frame` finds them."""

Span = tuple[float, float]
Corners = Sequence[tuple[float, float]]

_BRUSH_STYLE = {
    "name": BRUSH,
    "fillcolor": "rgba(128, 128, 128, 0.16)",
    "line": {"color": "rgba(128, 128, 128, 0.95)", "width": 1.5, "dash": "dot"},
}
_TICKS = [factor * 10.0**power for power in range(-4, 9) for factor in (1, 2, 5)]


def axis_title(column: str) -> str:
    """Label and unit of a score or of the response length."""
    if column == "token_count":
        return "Response length (tokens)"
    score = score_named(column)
    return score.label if score.unit in score.label.lower() else f"{score.label} ({score.unit})"


def column_label(column: str) -> str:
    """Name of a score or of the response length, without its unit."""
    return "Response length" if column == "token_count" else score_named(column).label


def apply_layout(figure: go.Figure, title: str, note: str, height: int) -> None:
    """Set the title, a note below it, the legend below the plot, and the mode bar's colours.

    Backgrounds are transparent, so a picture saved from a dark page stays readable on white paper.
    """
    figure.update_layout(
        title={"text": title, "subtitle": {"text": note}, "x": 0, "xanchor": "left"},
        height=height,
        margin={"l": 10, "r": 10, "t": 64, "b": 10},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "y": 0, "yanchor": "bottom"},
        showlegend=True,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": LINE, "activecolor": PALETTE[0]},
    )


def log_ticks(low: float, high: float, most: int = 12) -> dict[str, object]:
    """Ticks of a log axis at 1, 2 and 5 times the powers of ten; only the powers if there would be too many."""
    inside = [tick for tick in _TICKS if low <= tick <= high]
    if len(inside) > most:
        inside = [tick for tick in inside if math.isclose(math.log10(tick) % 1, 0, abs_tol=1e-9)]
    return {"tickvals": inside, "ticktext": [f"{tick:,.10g}" for tick in inside]}


def brush_sideways(figure: go.Figure, brush: Span | None, rows: int = 1) -> None:
    """Let a drag select a range of x, and draw the current range on each of `rows` plots."""
    figure.update_layout(dragmode="select", selectdirection="h")
    _offer_selecting(figure)
    if brush is None:
        return
    for axis in ("", *range(2, rows + 1)):
        figure.add_shape(
            type="rect", x0=min(brush), x1=max(brush), xref=f"x{axis}", y0=0, y1=1, yref=f"y{axis} domain",
            **_BRUSH_STYLE,
        )  # fmt: skip


def brush_area(figure: go.Figure, box: tuple[Span, Span] | None, lasso: Corners | None) -> None:
    """Let a drag select a box or lasso, and draw the current box (x and y ranges) and lasso. With a lasso, the next
    drag draws one too: the chart is drawn anew after each, and would forget the tool."""
    figure.update_layout(dragmode="lasso" if lasso else "select")
    _offer_selecting(figure)
    if box:
        (x0, x1), (y0, y1) = box
        figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, **_BRUSH_STYLE)
    if lasso:
        path = "L".join(f"{float(x)!r},{float(y)!r}" for x, y in lasso)
        figure.add_shape(type="path", path=f"M{path}Z", **_BRUSH_STYLE)


def _offer_selecting(figure: go.Figure) -> None:
    """Add the select button to the mode bar, and style plotly's own selection like ours.

    Plotly shows the button only if a trace has markers; without it, a user who has zoomed cannot brush again. One
    marker without a position is enough.
    """
    figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", hoverinfo="skip", showlegend=False))
    figure.update_layout(
        newselection={"line": _BRUSH_STYLE["line"]},
        activeselection={"fillcolor": "rgb(128, 128, 128)", "opacity": 0.16},
    )
