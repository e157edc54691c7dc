"""The training curve of a reference: loss by domain over the scored tokens seen."""

import html
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go


def training_curve_figure(points: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Training loss by domain. `points`: step, tokens [scored tokens seen], domain, loss [nats per token]."""
    figure = go.Figure()
    for domain, part in points.groupby("domain", sort=True):
        name = html.escape(str(domain))
        figure.add_trace(
            go.Scatter(
                x=part["tokens"].tolist(),
                y=part["loss"].tolist(),
                mode="lines+markers",
                name=name,
                line={"color": colours[str(domain)], "width": 2},
                marker={"size": 4},
                hovertemplate=f"{name}, %{{x:,}} tokens: %{{y:.3f}} nats per token<extra></extra>",
            )
        )
    figure.update_layout(
        title={"text": "Training loss by domain", "font": {"size": 14}, "x": 0, "y": 0.98, "yanchor": "top"},
        height=280,
        margin={"l": 60, "r": 10, "t": 60, "b": 45},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(title="Scored tokens seen", tickformat=",", showgrid=False, rangemode="tozero")
    figure.update_yaxes(title="Loss (nats per token)", rangemode="tozero")
    return figure
