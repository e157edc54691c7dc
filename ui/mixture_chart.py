"""The mixture as a chart: each domain's share of the data beside its share of what is kept, in rows and in tokens."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ui.charts import dress, faded, shown

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
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=list(_PANELS.values()))
    for column, unit in enumerate(_PANELS, 1):
        for name, shares_of, faint in (("In the data", f"share_{unit}", True), ("Kept", f"share_kept_{unit}", False)):
            figure.add_bar(
                x=drawn[shares_of],
                y=[shown(domain) for domain in drawn["domain"]],
                orientation="h",
                name=name,
                marker_color=[
                    faded(colours[domain], _FAINT) if faint else colours[domain] for domain in drawn["domain"]
                ],
                hovertemplate=f"%{{y}}<br>{name}: %{{x:.1%}} of {unit}<extra></extra>",
                row=1,
                col=column,
            )
    height = 130 + 40 * max(2, len(drawn))
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category")
    dress(figure, "The mixture, before and after", "Faint: share of the data. Strong: share of what is kept.", height)
    figure.update_layout(showlegend=False, bargap=0.25, bargroupgap=0.05, margin={"t": 90})
    return figure
