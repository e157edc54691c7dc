"""The coverage chart: a bar for the selection and one for as many random rows."""

import pandas as pd
import plotly.graph_objects as go

from ui.charts.layout import apply_layout
from ui.charts.palette import LINE, PALETTE

_HEIGHT = 180  # pixels


def coverage_figure(bars: pd.DataFrame) -> go.Figure:
    """Two horizontal bars, `rows` against `coverage` (0 to 1), the first on top."""
    drawn = {
        "type": "bar", "orientation": "h", "x": bars["coverage"].tolist(), "y": bars["rows"].tolist(),
        "marker": {"color": [PALETTE[0], LINE]}, "texttemplate": "%{x:.3f}", "textposition": "auto",
        "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
    }  # fmt: skip
    figure = go.Figure({"data": [drawn]})
    apply_layout(figure, "Coverage of the data", "Mean cosine of the rows to their nearest selected row", _HEIGHT)
    figure.update_layout(showlegend=False, bargap=0.3)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(autorange="reversed", title=None)
    return figure
