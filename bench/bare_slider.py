"""A bare Streamlit page with one slider and one figure of the size that Curate draws: what Streamlit itself takes.

Served by `bench.slider_latency`; no part of the dashboard.
"""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

_DOMAINS, _BINS = 3, 60

share = st.slider("Share of rows", 0.0, 100.0, 6.0, 0.1)
with st.container(key="result"):
    st.metric("Rows selected", f"{round(share * 10_000):,}")
heights = np.random.default_rng(0).integers(0, 10_000, (_DOMAINS, _BINS))
figure = go.Figure([go.Bar(x=np.linspace(-1, 1, _BINS), y=part) for part in heights])
figure.add_vline(x=1 - share / 50)
st.plotly_chart(figure, key="figure")
