"""Charts of a trial: each arm's difference from random, and held-out loss over the share of rows kept."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.evidence.result_fields import ArmResult, Comparison, TrialResults
from core.evidence.result_sentences import named_arm
from core.evidence.trial_statistics import BETTER, NOT_DISTINGUISHABLE, WORSE
from ui.charts.layout import apply_layout
from ui.charts.palette import IN_LEGEND, LINE, PALETTE, faded, shown

_GREY = "#808080"
_ROW_HEIGHT = 34
_LOSS = "Held-out loss (nats per token)"
# Side, colour and form say the same, so that none of them is needed alone.
_MARKS = {
    BETTER: (PALETTE[0], "circle"),
    WORSE: (PALETTE[5], "diamond"),
    NOT_DISTINGUISHABLE: (_GREY, "circle-open"),
    "": (_GREY, "square-open"),
}
_NAMES = {BETTER: BETTER, WORSE: WORSE, NOT_DISTINGUISHABLE: NOT_DISTINGUISHABLE, "": "no verdict"}


def forest_figure(arms: pd.DataFrame, baseline: str, where: str) -> go.Figure:
    """Each arm's held-out loss minus that of random, with its 95 % interval.

    `arms`: arm (as it is named on the axis), difference, low, high [nats per token] and verdict (anything else: none);
    `baseline`: the random arm; `where`: the held-out rows and the metric in words.
    """
    figure = go.Figure()
    heights = [float(len(arms) - 1 - place) for place in range(len(arms))]
    known = arms["verdict"].where(arms["verdict"].isin(list(_MARKS)), "")
    drawn = arms.assign(height=heights, verdict=known)
    for verdict, (colour, symbol) in _MARKS.items():
        part = drawn[drawn["verdict"] == verdict]
        if part.empty:
            continue
        spread = {"array": (part["high"] - part["difference"]).tolist(), "thickness": 2, "width": 6,
                  "arrayminus": (part["difference"] - part["low"]).tolist(), "symmetric": False}  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=part["difference"].tolist(),
                y=part["height"].tolist(),
                error_x=spread,
                customdata=[[shown(str(row["arm"])), row["low"], row["high"]] for row in part.to_dict("records")],
                mode="markers",
                name=_NAMES[verdict],
                marker={"size": 11, "color": colour, "symbol": symbol, "line": {"width": 2, "color": colour}},
                hovertemplate="%{customdata[0]}: %{x:+.4f} [%{customdata[1]:+.4f}, %{customdata[2]:+.4f}]"
                "<extra></extra>",
            )
        )
    title = f"Difference from {shown(baseline)}"
    apply_layout(figure, title, f"{shown(where, 100)}; bars: 95 % interval", 190 + _ROW_HEIGHT * len(arms))
    reach = 1.15 * max([0.001, *arms[["low", "high"]].abs().to_numpy().ravel()])
    figure.update_xaxes(
        title="Held-out loss minus that of random (nats per token)", range=[-reach, reach], zeroline=True,
        zerolinecolor=LINE, zerolinewidth=2, tickformat="+~g",
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=heights, ticktext=[shown(str(name)) for name in arms["arm"]], showgrid=False, zeroline=False,
        range=[-0.6, len(arms) + 0.1], automargin=True,
    )  # fmt: skip
    for text, side, x in (("← better: lower loss", "left", 0.0), ("worse: higher loss →", "right", 1.0)):
        figure.add_annotation(text=text, x=x, xref="paper", xanchor=side, y=1.0, yref="paper", yanchor="top",
                              showarrow=False)  # fmt: skip
    return figure


def arms_table(results: TrialResults, scope: str, part: str, metric: str, judged: bool) -> pd.DataFrame:
    """All arms on some held-out rows by a metric, random first: arm, runs, loss, difference, low, high [nats per token]
    and smallest_visible; where the verdict is of these (`judged`), also holm_p and verdict."""
    rows = []
    for arm in results.arms:
        found = next((c for c in arm.comparisons if (c.scope, c.part, c.metric) == (scope, part, metric)), None)
        rows.append(_arm_row(arm, found, judged))
    random = {
        (arm.ratio if len({other.ratio for other in results.arms}) > 1 else None): (arm.random_runs, found.random_loss)
        for arm in results.arms
        for found in arm.comparisons
        if (found.scope, found.part, found.metric) == (scope, part, metric)
    }
    baseline = [
        {
            "arm": named_arm(results.baseline, ratio),
            "runs": runs,
            "loss": loss,
            "verdict": "baseline" if judged else "",
        }
        for ratio, (runs, loss) in random.items()
    ]
    columns = ["arm", "runs", "loss", "difference", "low", "high", "holm_p", "smallest_visible", "verdict"]
    table = pd.DataFrame([*baseline, *rows], columns=columns)
    numbers = [name for name in columns if name not in ("arm", "verdict", "runs")]
    return table.astype(dict.fromkeys(numbers, float))


def _arm_row(arm: ArmResult, found: Comparison | None, judged: bool) -> Mapping[str, object]:
    name = named_arm(arm.arm, arm.ratio) + (" (exploratory)" if arm.exploratory else "")
    row: dict[str, object] = {"arm": name, "runs": arm.runs, "verdict": arm.verdict or arm.objection if judged else ""}
    if found is None:
        return row
    row["loss"] = found.loss
    if found.difference:
        measured = found.difference
        row |= {"difference": measured.value, "low": measured.low, "high": measured.high}
        row |= {"smallest_visible": measured.smallest_visible, "holm_p": arm.holm_p if judged else None}
    return row


def curve_table(results: TrialResults) -> pd.DataFrame:
    """Points of a trial's curve: arm, ratio, runs, loss, low, high [nats per token]."""
    rows = [(p.arm, p.ratio, p.runs, p.loss, p.low, p.high) for p in results.curve]
    table = pd.DataFrame(rows, columns=["arm", "ratio", "runs", "loss", "low", "high"])
    return table.astype(dict.fromkeys(("ratio", "loss", "low", "high"), float))


def ratio_curve_figure(
    curve: pd.DataFrame, arms: Sequence[str], baseline: str, ratio: float | None = None, small: bool = False
) -> go.Figure:
    """Held-out loss of arms over the share of rows kept, with the band of training runs.

    `curve`: arm, ratio (missing for arms that have no ratio: a level line), loss, low, high [nats per token]; `arms`:
    those drawn. `ratio`: marks a share. `small`: for beside a control.
    """
    figure = go.Figure()
    ratios = sorted(float(share) for share in curve["ratio"].dropna().unique())
    for place, name in enumerate(arms):
        part = curve[curve["arm"] == name].sort_values("ratio")
        is_random = name == baseline
        colour = _GREY if is_random else PALETTE[place % len(PALETTE)]
        dash = "dash" if is_random else "solid"
        level = part["ratio"].isna().all()
        if level and not part.empty:
            row = part.iloc[0]
            part = pd.DataFrame([{**row.to_dict(), "ratio": share} for share in ratios])
            dash = "dot"
        figure.add_traces(_banded(part, name, colour, dash, not level))
    title = "Held-out loss by share of rows" if small else "Held-out loss and share of rows kept"
    apply_layout(figure, title, "" if small else "Bands: 95 % interval over training runs", 250 if small else 400)
    marks = sorted({*ratios})
    figure.update_xaxes(
        title="Share of rows", type="log" if ratios and ratios[-1] > 4 * ratios[0] else "linear", showgrid=False,
        tickvals=marks, ticktext=[f"{100 * share:.3g} %" for share in marks],
    )  # fmt: skip
    figure.update_yaxes(title="nats per token" if small else _LOSS)
    if ratio:
        figure.add_vline(x=ratio, line={"color": LINE, "width": 2})
    if small:
        figure.update_layout(margin={"l": 10, "r": 10, "t": 36, "b": 10})
    return figure


def _banded(part: pd.DataFrame, name: str, colour: str, dash: str, marked: bool) -> list[go.Scatter]:
    """A line of means, over its band where every point has one."""
    x, label = part["ratio"].tolist(), shown(name, IN_LEGEND)
    traces = []
    if len(part) and part["low"].notna().all():
        edges = {"x": [*x, *x[::-1]], "y": [*part["high"], *part["low"][::-1]], "fill": "toself", "mode": "lines"}
        look = {"fillcolor": faded(colour, 0.18), "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        traces.append(go.Scatter(**edges, **look))
    runs = part["runs"].tolist()
    traces.append(
        go.Scatter(
            x=x,
            y=part["loss"].tolist(),
            customdata=runs,
            mode="lines+markers" if marked else "lines",
            name=label,
            line={"color": colour, "width": 2, "dash": dash},
            marker={"size": 8, "symbol": "square-open" if colour == _GREY else "circle"},
            hovertemplate=f"{label}: %{{y:.4f}} (%{{customdata}} runs)<extra></extra>",
        )
    )
    return traces
