"""The domain mix chart: each domain's share of the data and of the selection, in rows and in tokens."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ui.charts import apply_layout, faded, shown

MOST_DOMAINS = 16
"""More domains would be unreadable; the table below the chart has all of them."""

_PANELS = {"rows": "Share of rows", "tokens": "Share of tokens"}
_FAINT = 0.4


def mixture_shares(domains: pd.DataFrame) -> pd.DataFrame:
    """The shares (0 to 1) by domain: share_rows and share_tokens of the data, share_kept_rows and
    share_kept_tokens of the selection (0 if the selection is empty)."""
    found = domains[["domain"]].copy()
    for column in ("rows", "tokens", "kept_rows", "kept_tokens"):
        whole = domains[column].sum()
        found[f"share_{column}"] = domains[column] / whole if whole else 0.0
    return found


def mixture_figure(shares: pd.DataFrame, colours: Mapping[str, str]) -> go.Figure:
    """Horizontal bars of `mixture_shares`: faint for the data, strong for the selection. Draws the `MOST_DOMAINS`
    domains with the largest share in either."""
    most = shares.set_index("domain").max(axis=1).nlargest(MOST_DOMAINS).index
    drawn = shares[shares["domain"].isin(most)]
    names = [shown(domain) for domain in drawn["domain"]]
    strong = [colours[domain] for domain in drawn["domain"]]
    faint = [faded(colour, _FAINT) for colour in strong]
    bars: list[dict[str, Any]] = []
    for axis, unit in zip(("", "2"), _PANELS, strict=True):
        for name, column, bar_colours in (
            ("Data", f"share_{unit}", faint),
            ("Selection", f"share_kept_{unit}", strong),
        ):
            bars.append(
                {
                    "type": "bar", "orientation": "h", "name": name, "x": drawn[column].tolist(), "y": names,
                    "marker": {"color": bar_colours}, "xaxis": f"x{axis}", "yaxis": f"y{axis}",
                    "hovertemplate": f"%{{y}}<br>{name}: %{{x:.1%}} of {unit}<extra></extra>",
                }
            )  # fmt: skip
    # Built in one call: adding traces one by one makes plotly validate each, which delays the sliders.
    figure = go.Figure({"data": bars, "layout": _layout()})
    height = 144 + 40 * max(2, len(drawn))
    apply_layout(figure, "Domain mix", "Faint: share of the data. Strong: share of the selection.", height)
    figure.layout.showlegend = False
    figure.layout.margin.t = 104
    return figure


def _layout() -> dict[str, Any]:
    """Two plots side by side with the same domains, the first domain on top."""
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
