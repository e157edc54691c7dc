"""The mixture as a chart: each domain's share of the data beside its share of what is kept, in rows and in tokens."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ui.charts import apply_layout, faded, shown

MOST_DOMAINS = 16
"""More would make a chart that nobody reads; the table beside it holds all."""

_PANELS = {"rows": "Share of rows", "tokens": "Share of tokens"}
_FAINT = 0.4


def mixture_shares(domains: pd.DataFrame) -> pd.DataFrame:
    """The shares (0 to 1) of a summary's domains: domain, share_rows and share_tokens of the data, share_kept_rows and
    share_kept_tokens of what is kept; 0 throughout where nothing is."""
    found = domains[["domain"]].copy()
    for column in ("rows", "tokens", "kept_rows", "kept_tokens"):
        whole = domains[column].sum()
        found[f"share_{column}"] = domains[column] / whole if whole else 0.0
    return found


def mixture_figure(shares: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Horizontal bars of the shares of `mixture_shares`: faint what a domain has of the data, strong what it has of the
    kept. Of many domains the ones that are largest in either are drawn."""
    most = shares.set_index("domain").max(axis=1).nlargest(MOST_DOMAINS).index
    drawn = shares[shares["domain"].isin(most)]
    names = [shown(domain) for domain in drawn["domain"]]
    strong = [colours[domain] for domain in drawn["domain"]]
    faint = [faded(colour, _FAINT) for colour in strong]
    bars: list[dict[str, Any]] = []
    for axis, unit in zip(("", "2"), _PANELS, strict=True):
        for name, column, bar_colours in (
            ("In the data", f"share_{unit}", faint),
            ("Kept", f"share_kept_{unit}", strong),
        ):
            bars.append(
                {
                    "type": "bar", "orientation": "h", "name": name, "x": drawn[column].tolist(), "y": names,
                    "marker": {"color": bar_colours}, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
                    "hovertemplate": f"%{{y}}<br>{name}: %{{x:.1%}} of {unit}<extra></extra>",
                }
            )  # fmt: skip
    # In one piece: plotly checks a figure's parts one by one where they are added, and a slider waits for this one.
    figure = go.Figure({"data": bars, "layout": _layout()})
    height = 130 + 40 * max(2, len(drawn))
    apply_layout(
        figure, "The mixture, before and after", "Faint: share of the data. Strong: share of what is kept.", height
    )
    figure.layout.showlegend = False
    figure.layout.margin.t = 90
    return figure


def _layout() -> dict[str, Any]:
    """Two plots side by side over the same domains, the first one on top."""
    shares_axis = {"tickformat": ".0%", "rangemode": "tozero"}
    domains_axis = {"autorange": "reversed", "type": "category"}
    title = {"font": {"size": 16}, "showarrow": False, "xref": "paper", "yref": "paper", "y": 1, "yanchor": "bottom"}
    return {
        "xaxis": {**shares_axis, "anchor": "y", "domain": [0, 0.48]},
        "xaxis2": {**shares_axis, "anchor": "y2", "domain": [0.52, 1]},
        "yaxis": {**domains_axis, "anchor": "x"},
        "yaxis2": {**domains_axis, "anchor": "x2", "matches": "y", "showticklabels": False},
        "annotations": [
            {**title, "text": text, "x": x, "xanchor": "center"}
            for text, x in zip(_PANELS.values(), (0.24, 0.76), strict=True)
        ],
        "bargap": 0.25,
        "bargroupgap": 0.05,
    }
