"""Charts of a trial: each arm's difference from random, and held-out loss over the share of rows selected."""

from collections.abc import Sequence

import plotly.graph_objects as go

from core.evidence.result_fields import ArmResult, CurvePoint
from ui.charts.layout import apply_layout
from ui.charts.palette import IN_LEGEND, LINE, PALETTE, faded, shown

_ROW_HEIGHT = 40
_DASHES = ("solid", "dash", "dot", "dashdot")
_VERDICTS = {
    "better than random": ("circle", PALETTE[0]),
    "worse than random": ("diamond", PALETTE[5]),
    "not distinguishable from random": ("circle-open", PALETTE[7]),
    "no verdict": ("x-thin-open", PALETTE[7]),
}
"""Marker and colour of each verdict."""


def forest_figure(arms: Sequence[ArmResult], baseline: str) -> go.Figure:
    """Each arm's held-out loss minus that of the random arm `baseline`, with its 95 % interval [nats per token]; arms
    without an interval yet are not drawn."""
    drawn = [arm for arm in arms if arm.difference]
    heights = [float(len(drawn) - 1 - place) for place in range(len(drawn))]
    figure = go.Figure([_no_mark(verdict) for verdict in dict.fromkeys(_verdict(arm) for arm in drawn)])
    for arm, height in zip(drawn, heights, strict=True):
        figure.add_trace(_difference_mark(arm, height))
    apply_layout(figure, f"Held-out loss minus that of {shown(baseline)}", "Bars: 95 % intervals",
                 190 + _ROW_HEIGHT * len(drawn))  # fmt: skip
    figure.update_layout(margin_t=88)  # room for the names of both sides
    figure.add_vline(x=0, line={"color": LINE, "width": 2})
    for text, place, side in (("better than random", 0.0, "left"), ("worse than random", 1.0, "right")):
        arrow = f"← {text}" if side == "left" else f"{text} →"
        figure.add_annotation(text=arrow, x=place, y=1, xref="x domain", yref="y domain", xanchor=side,
                              yanchor="bottom", showarrow=False)  # fmt: skip
    furthest = max((abs(end) for arm in drawn if arm.difference for end in (arm.difference.low, arm.difference.high)),
                   default=1.0)  # fmt: skip
    figure.update_xaxes(title="Difference (nats per token)", range=[-1.1 * furthest, 1.1 * furthest], showgrid=False)
    figure.update_yaxes(
        tickvals=heights, ticktext=[arm_label(arm.arm, arm.ratio) for arm in drawn], range=[-0.6, len(drawn) - 0.2],
        showgrid=False, zeroline=False, automargin=True,
    )  # fmt: skip
    return figure


def trial_curve_figure(curve: Sequence[CurvePoint]) -> go.Figure:
    """Held-out loss of each arm over the share of rows selected, with its 95 % band over training runs."""
    figure = go.Figure()
    for place, name in enumerate(dict.fromkeys(point.arm for point in curve if point.ratio is not None)):
        points = sorted(
            (point.ratio, point) for point in curve if point.arm == name and point.ratio is not None
        )  # fmt: skip
        colour = PALETTE[place % len(PALETTE)]
        figure.add_traces(_band([point for _, point in points], colour))
        label = shown(name, IN_LEGEND)
        figure.add_trace(
            go.Scatter(
                x=[ratio for ratio, _ in points],
                y=[point.loss for _, point in points],
                customdata=[point.runs for _, point in points],
                mode="lines+markers",
                name=label,
                line={"color": colour, "width": 2, "dash": _DASHES[place % len(_DASHES)]},
                marker={"size": 7},
                hovertemplate=f"{label}: %{{y:.4f}} nats per token, %{{customdata:,}} runs<extra></extra>",
            )
        )
    apply_layout(figure, "Held-out loss by share of rows selected", "Bands: 95 % intervals over training runs", 420)
    ratios = sorted({point.ratio for point in curve if point.ratio is not None})
    figure.update_xaxes(title="Share of rows selected (log scale)", type="log", hoverformat=".3~%", showgrid=False,
                        tickvals=ratios, ticktext=[f"{100 * ratio:g} %" for ratio in ratios])  # fmt: skip
    figure.update_yaxes(title="Held-out loss (nats per token)")
    figure.update_layout(hovermode="x unified", legend_traceorder="normal")
    return figure


def has_curve(curve: Sequence[CurvePoint]) -> bool:
    """Whether a trial has several ratios to draw a curve through."""
    return len({point.ratio for point in curve if point.ratio is not None}) > 1


def arm_label(arm: str, ratio: float | None) -> str:
    """An arm's name, escaped for Plotly, and its ratio."""
    return shown(arm) + ("" if ratio is None else f" at {100 * ratio:g} %")


def _verdict(arm: ArmResult) -> str:
    return arm.verdict or "no verdict"


def _difference_mark(arm: ArmResult, height: float) -> go.Scatter:
    found, (symbol, colour) = arm.difference, _VERDICTS[_verdict(arm)]
    assert found is not None
    label = arm_label(arm.arm, arm.ratio)
    return go.Scatter(
        x=[found.value],
        y=[height],
        mode="markers",
        marker={"color": colour, "size": 12, "symbol": symbol, "line": {"width": 2, "color": colour}},
        error_x={"array": [found.high - found.value], "arrayminus": [found.value - found.low], "width": 5,
                 "thickness": 2, "color": colour},
        hovertemplate=f"{label}: {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}], {_verdict(arm)}"
        "<extra></extra>",
        showlegend=False,
    )  # fmt: skip


def _no_mark(verdict: str) -> go.Scatter:
    """The legend's entry of a verdict."""
    symbol, colour = _VERDICTS[verdict]
    marker = {"color": colour, "size": 12, "symbol": symbol, "line": {"width": 2, "color": colour}}
    return go.Scatter(x=[None], y=[None], mode="markers", name=verdict, marker=marker)


def _band(points: Sequence[CurvePoint], colour: str) -> list[go.Scatter]:
    """The band between `low` and `high`, where there is one."""
    whole = [point for point in points if point.low is not None and point.high is not None]
    if not whole:
        return []
    ratios = [point.ratio for point in whole]
    line = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    return [
        go.Scatter(x=ratios, y=[point.low for point in whole], **line),
        go.Scatter(x=ratios, y=[point.high for point in whole], fill="tonexty", fillcolor=faded(colour, 0.16), **line),
    ]
