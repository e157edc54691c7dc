"""Is it length or the end token? Correlation of the three forms of the gain with response length, and the end token's
part of the gain."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.evidence.findings import Evidence
from ui.charts.evidence_charts import length_figure
from ui.kit.chart_frame import show_chart
from ui.kit.tables import ALL_DOMAINS, COUNT, SHARE, VALUE, show_spearman, table_height


def show_length(found: Evidence, domains: Sequence[str]) -> None:
    """What the verdict rests on."""
    left, right = st.columns(2, gap="medium")
    length = found.length
    if not length.empty:
        with left:
            numbers = length.assign(domain=length["domain"].mask(length["overall"], ALL_DOMAINS))
            figure = length_figure(length, domains)
            show_chart(figure, numbers.drop(columns="overall"), "length", "correlation-with-length")
    with right:
        if not length.empty:
            show_spearman(length)
        if not found.end_of_turn.empty:
            _show_end_of_turn(found.end_of_turn)


def _show_end_of_turn(end: pd.DataFrame) -> None:
    st.markdown("##### End-of-turn token")
    labels = {"domain": "Domain", "rows": "Rows", "end_share": "Share of the gain", "spearman": "Spearman without it"}
    shown = end.assign(domain=end["domain"].mask(end["overall"], ALL_DOMAINS))[list(labels)].rename(columns=labels)
    formats = {"Rows": COUNT, "Share of the gain": SHARE, "Spearman without it": VALUE}
    st.dataframe(shown, hide_index=True, height=table_height(shown), column_config=formats)
    st.caption(
        "Rows: those with learnability with and without the token that ends a reply. Share of the gain: part of the "
        "loss that fine-tuning removed from these rows which it removed from that token. Spearman: learnability with "
        "it against learnability without it; 1: both rank the rows alike."
    )
