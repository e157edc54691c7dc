"""Charts of the evidence about a run: own and cross-fitted learnability, losses by pass, overlap of tops, length."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from core.data.scores import SCORES
from core.exploring.length_bias import LENGTH_SCORES
from core.exploring.rank_changes import PAPER_SHARES
from ui.charts.layout import apply_layout, axis_title
from ui.charts.palette import IN_LEGEND, LINE, PALETTE, shown

_GREY = "#808080"
_ROW_HEIGHT = 52
_SHARE_TICKS = (0.015, 0.03, 0.06, 0.1, 0.167, 0.33, 0.5, 1.0)


def learnability_gap_figure(memory: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """For each domain the median and quartiles of learnability under models that did not see the row (filled) and under
    models that did (hollow). `memory`: from `core.evidence.memory.memory_by_domain`."""
    drawn = memory[~memory["overall"] & memory["domain"].isin(list(colours))]
    figure = go.Figure([_legend_mark("cross-fitted: never saw the row", "circle"),
                        _legend_mark("own: trained on the row", "circle-open")])  # fmt: skip
    for place, row in enumerate(drawn.to_dict("records")):
        name, colour, height = shown(row["domain"]), colours[row["domain"]], float(len(drawn) - 1 - place)
        for which, symbol, offset, marks in (
            ("cross-fitted", "circle", -0.15, ("cross_q25", "cross_fitted", "cross_q75")),
            ("own", "circle-open", 0.15, ("own_q25", "own", "own_q75")),
        ):
            found = [float(row[mark]) for mark in marks]
            figure.add_trace(_median_mark(f"{name}, {which}", colour, symbol, height + offset, found))
    apply_layout(figure, "Learnability with and without having seen the row",
                 "Median by domain; thin lines: quartiles", 150 + _ROW_HEIGHT * len(drawn))  # fmt: skip
    figure.update_xaxes(title=axis_title("learnability"), zeroline=True, zerolinecolor=LINE, showgrid=False)
    _name_rows(figure, [str(domain) for domain in drawn["domain"]])
    return figure


def losses_by_pass_figure(by_pass: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Loss on held-out rows (solid) and on the models' own rows (dashed) after each pass, with the range over models.

    `by_pass`: from `core.evidence.reference_health.Health`.
    """
    figure = go.Figure()
    drawn = by_pass[~by_pass["overall"] & by_pass["domain"].isin(list(colours))]
    for (domain, rows), part in drawn.groupby(["domain", "rows"], sort=True):
        unseen = rows == "held_out"
        label = f"{shown(str(domain), IN_LEGEND)}, {'held out' if unseen else 'own'}"
        spread = {"array": (part["highest"] - part["loss"]).tolist(), "width": 3, "thickness": 1, "symmetric": False,
                  "arrayminus": (part["loss"] - part["lowest"]).tolist()}  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=part["passes"].tolist(),
                y=part["loss"].tolist(),
                mode="lines+markers",
                name=label,
                error_y=spread if (part["models"] > 1).any() else None,
                line={"color": colours[str(domain)], "width": 2, "dash": "solid" if unseen else "dash"},
                marker={"size": 6, "symbol": "circle" if unseen else "circle-open"},
                hovertemplate=f"{label}: %{{y:.3f}}<extra></extra>",
            )
        )
    several = "; bars: range over the models" if (drawn["models"] > 1).any() else ""
    apply_layout(figure, "Loss on held-out and on own rows by pass", f"Pass 0 is the base{several}", 400)
    figure.update_xaxes(title="Passes over the data", showgrid=False, rangemode="tozero", tickformat=".3~g")
    figure.update_yaxes(title="Loss (nats per token)", rangemode="tozero")
    figure.update_layout(hovermode="x unified")
    return figure


def agreement_figure(tops: Mapping[str, pd.DataFrame], where: str) -> go.Figure:
    """Overlap of the tops of pairs of references over the share of rows kept, and the overlap by chance.

    `tops`: by label, share, top, overlap and chance of one domain (or of all), from `core.evidence.stability`; `where`:
    the domain in words.
    """
    figure = go.Figure()
    first = next(iter(tops.values()))
    chance = {"x": first["share"].tolist(), "y": first["chance"].tolist(), "mode": "lines", "name": "by chance"}
    figure.add_trace(
        go.Scatter(
            **chance,
            line={"color": LINE, "width": 1.5, "dash": "dot"},
            hovertemplate="by chance: %{y:.0%}<extra></extra>",
        )
    )
    dash = ("solid", "dash", "dashdot", "longdash", "dot")
    for place, (label, found) in enumerate(tops.items()):
        drawn, name = found.dropna(subset=["overlap"]), shown(label)
        figure.add_trace(
            go.Scatter(
                x=drawn["share"].tolist(),
                y=drawn["overlap"].tolist(),
                customdata=drawn["top"].tolist(),
                mode="lines+markers",
                name=name,
                line={"color": PALETTE[place % len(PALETTE)], "width": 2, "dash": dash[place % len(dash)]},
                marker={"size": 6},
                hovertemplate=f"{name}: %{{y:.0%}} of %{{customdata:,}} rows<extra></extra>",
            )
        )
    apply_layout(figure, f"Overlap of the top rows: {shown(where)}", "Share of one top that is also in the other", 400)
    figure.update_xaxes(
        title="Share of rows kept (log scale; dotted lines: 1.5, 6 and 16.7 %)", type="log", showgrid=False,
        tickvals=list(_SHARE_TICKS), ticktext=[f"{100 * share:.3g} %" for share in _SHARE_TICKS],
        range=[math.log10(_SHARE_TICKS[0]) - 0.04, 0.04], hoverformat=".3~%",
    )  # fmt: skip
    figure.update_yaxes(title="Overlap", range=[0, 1.04], tickformat=".0%")
    for share in PAPER_SHARES:
        figure.add_vline(x=share, line={"color": LINE, "width": 1, "dash": "dot"})
    figure.update_layout(hovermode="x unified")
    return figure


def length_figure(length: pd.DataFrame, domains: Sequence[str]) -> go.Figure:
    """Spearman correlation with response length by domain, for the three forms of the gain.

    `length`: from `core.exploring.length_bias.length_bias`; `domains`: those drawn.
    """
    drawn = length[~length["overall"] & length["domain"].isin(list(domains))]
    heights = [float(len(drawn) - 1 - place) for place in range(len(drawn))]
    figure = go.Figure()
    forms = {"implicit_reward": "diamond", "loss_difference": "square", "learnability": "circle"}
    for place, name in enumerate(LENGTH_SCORES):
        label = SCORES[name].label
        figure.add_trace(
            go.Scatter(
                x=drawn[f"spearman_{name}"].tolist(),
                y=heights,
                customdata=[shown(str(domain)) for domain in drawn["domain"]],
                mode="markers",
                name=label,
                marker={"size": 11, "symbol": forms[name], "color": PALETTE[(1, 2, 0)[place]]},
                hovertemplate=f"%{{customdata}}, {label.lower()}: %{{x:+.2f}}<extra></extra>",
            )
        )
    apply_layout(figure, "Correlation with response length, within domains",
                 "0: no relation; right: longer rows score higher; left: shorter rows do",
                 170 + _ROW_HEIGHT * len(drawn))  # fmt: skip
    figure.update_xaxes(title="Spearman correlation with response length", range=[-1.05, 1.05], zeroline=True,
                        zerolinecolor=LINE, zerolinewidth=2)  # fmt: skip
    _name_rows(figure, [str(domain) for domain in drawn["domain"]])
    return figure


def _median_mark(name: str, colour: str, symbol: str, height: float, marks: Sequence[float]) -> go.Scatter:
    """A median with its quartiles; `marks`: lower quartile, median, upper quartile."""
    low, median, high = marks
    return go.Scatter(
        x=[median],
        y=[height],
        mode="markers",
        marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
        error_x={"array": [high - median], "arrayminus": [median - low], "thickness": 1, "width": 4},
        hovertemplate=f"{name}: median {median:.3f}, quartiles {low:.3f} and {high:.3f}<extra></extra>",
        showlegend=False,
    )


def _legend_mark(name: str, symbol: str) -> go.Scatter:
    marker = {"color": _GREY, "size": 11, "symbol": symbol, "line": {"width": 2, "color": _GREY}}
    return go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker)


def _name_rows(figure: go.Figure, domains: list[str]) -> None:
    """Write the domains on the y axis, the first on top."""
    places = [float(len(domains) - 1 - place) for place in range(len(domains))]
    figure.update_yaxes(
        tickvals=places, ticktext=[shown(name, IN_LEGEND) for name in domains], range=[-0.6, len(domains) - 0.4],
        showgrid=False, zeroline=False, automargin=True,
    )  # fmt: skip
