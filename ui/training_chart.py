"""The chart of a reference being trained: loss by domain against the tokens it has learnt from."""

import html
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go


def training_curve_figure(points: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Training loss by domain. `points`: step, tokens [scored tokens seen], domain, loss [nats per token]."""
    figure = go.Figure()
    for domain, part in points.groupby("domain", sort=True):
        figure.add_trace(
            go.Scatter(
                x=part["tokens"],
                y=part["loss"],
                mode="lines",
                name=html.escape(str(domain)),
                line={"color": colours[str(domain)], "width": 2},
                hovertemplate="%{x:,} tokens: %{y:.3f} nats per token",
            )
        )
    figure.update_layout(
        title={"text": "Loss while the reference learns", "font": {"size": 14}},
        height=260,
        margin={"l": 60, "r": 10, "t": 40, "b": 45},
        legend={"orientation": "h", "y": 1.15, "x": 1, "xanchor": "right"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(title="Scored tokens seen", tickformat=",", showgrid=False)
    figure.update_yaxes(title="Training loss (nats per token)", rangemode="tozero")
    return figure
