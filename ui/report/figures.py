"""Figures in a report: their data as JSON beside the place where the page's script draws them."""

import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

from ui.report.markup import Html, tag

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def figure_html(figure: go.Figure) -> Html:
    """The place of a figure, and its data. Colours of the page come from `themes`, not from the figure."""
    fields = figure.to_plotly_json()
    fields["layout"].pop("template", None)
    title = figure.layout.title.text or "Chart"
    height = f"height: {figure.layout.height or 440}px"
    # The data goes through `to_json_plotly`, which escapes what could end the element.
    return tag(
        "figure",
        tag("div", class_="chart", role="img", aria_label=f"Chart: {title}", style=height),
        Html(f'<script type="application/json">{to_json_plotly(fields)}</script>'),
    )


def themes() -> Html:
    """The templates of the light and of the dark page, for the page's script."""
    found = {"light": _theme("#1f2328", "#d9dde3", "#ffffff"), "dark": _theme("#e6e8eb", "#3a4048", "#1c2128")}
    return Html(f'<script type="application/json" id="themes">{to_json_plotly(found)}</script>')


def _theme(text: str, grid: str, paper: str) -> dict[str, object]:
    axis = {"gridcolor": grid, "linecolor": grid, "zerolinecolor": grid, "automargin": True}
    return {
        "layout": {
            "font": {"color": text, "family": _FONT, "size": 12},
            "title": {"font": {"size": 15}},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hoverlabel": {"bgcolor": paper, "bordercolor": grid, "font": {"color": text}},
            "xaxis": axis,
            "yaxis": axis,
        }
    }
