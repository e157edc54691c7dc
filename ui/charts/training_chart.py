"""Charts of a training: loss by domain over the scored tokens seen, and held-out against own loss by pass."""

import html
from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from ui.charts.palette import PALETTE


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
    _apply_layout(figure, "Training loss by domain")
    figure.update_xaxes(title="Scored tokens seen", tickformat=",", showgrid=False, rangemode="tozero")
    return figure


_ROWS = {"held_out": ("Held-out rows", "solid"), "own": ("Rows trained on (sample)", "dot")}


def passes_figure(passes: pd.DataFrame) -> go.Figure:
    """Loss on held-out rows and on a sample of the rows trained on, after each pass, over all domains.

    `passes`: passes, rows ("held_out" or "own"), domain, tokens, nll_sum [nats]. Where the held-out loss rises while
    the other falls, the model memorises.
    """
    figure = go.Figure()
    for kind, (name, dash) in _ROWS.items():
        sums = passes[passes["rows"] == kind].groupby("passes")[["nll_sum", "tokens"]].sum()
        sums = sums[sums["tokens"] > 0]
        if sums.empty:
            continue
        figure.add_trace(
            go.Scatter(
                x=sums.index.tolist(),
                y=(sums["nll_sum"] / sums["tokens"]).tolist(),
                mode="lines+markers",
                name=name,
                line={"color": PALETTE[0], "width": 2, "dash": dash},
                marker={"size": 5},
                hovertemplate=f"{name}, %{{x:.3g}} passes: %{{y:.3f}} nats per token<extra></extra>",
            )
        )
    _apply_layout(figure, "Loss on held-out rows and on rows trained on")
    figure.update_xaxes(title="Passes over the data", showgrid=False, rangemode="tozero")
    return figure


def _apply_layout(figure: go.Figure, title: str) -> None:
    figure.update_layout(
        title={"text": title, "font": {"size": 14}, "x": 0, "y": 0.98, "yanchor": "top"},
        height=280,
        margin={"l": 60, "r": 10, "t": 60, "b": 45},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_yaxes(title="Loss (nats per token)", rangemode="tozero")
