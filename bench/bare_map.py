"""A bare Streamlit page with a chart like Curate's map and one count: what Streamlit, plotly and the browser take.

Served by `bench.lasso_latency`; no part of the dashboard.
"""

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

_DOMAINS, _POINTS, _BINS, _CHARACTERS = 8, 3_000, 90, 80


@st.cache_resource
def chart() -> dict[str, Any]:
    """As many points, texts and cells as the map of a million rows has."""
    random = np.random.default_rng(0)
    figure = go.Figure(go.Heatmap(z=random.integers(0, 400, (_BINS, _BINS)), showscale=False, hoverinfo="skip"))
    for domain in range(_DOMAINS):
        x, y = _BINS / 2 + 15 * random.normal(size=(2, _POINTS // _DOMAINS))
        rows = random.integers(0, 1_000_000, len(x))
        texts = [f"domain-{domain}<br>{'text of a row ' * 6:.{_CHARACTERS}}" for _ in rows]
        hover = "row %{customdata:,}<br>%{text}<extra></extra>"
        figure.add_scattergl(
            x=x, y=y, customdata=rows, text=texts, mode="markers", hovertemplate=hover, name=f"domain-{domain}"
        )
    figure.update_layout(dragmode="lasso", height=460)
    found: dict[str, Any] = json.loads(str(figure.to_json()))
    return found


def count() -> None:
    """One more selection."""
    st.session_state.selections = st.session_state.get("selections", 0) + 1


@st.fragment
def show() -> None:
    """The count above the chart."""
    with st.container(key="readout"):
        st.markdown(f"**{st.session_state.get('selections', 0):,}** selections")
    with st.container(key="linked_map"):
        st.plotly_chart(chart(), key="chart", on_select=count, selection_mode=("box", "lasso"))


st.set_page_config(layout="wide")
show()
