"""Is it length? Correlation of the three forms of the gain with response length."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.evidence.verdicts import Verdict
from ui.charts.evidence_charts import length_figure
from ui.evidence.verdict_card import verdict_card
from ui.kit.chart_frame import show_chart
from ui.kit.tables import ALL_DOMAINS, show_spearman


def show_length(length: pd.DataFrame, verdict: Verdict, domains: Sequence[str]) -> None:
    """The card; `length` is from `core.exploring.length_bias.length_bias`."""
    with verdict_card(verdict):
        if length.empty:
            return
        left, right = st.columns(2, gap="medium")
        with left:
            numbers = length.assign(domain=length["domain"].mask(length["overall"], ALL_DOMAINS))
            figure = length_figure(length, domains)
            show_chart(figure, numbers.drop(columns="overall"), "length", "correlation-with-length")
        with right:
            show_spearman(length)
