"""Is it memory? Own and cross-fitted learnability, losses by pass, and the rows that a reference was trained on."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from core.evidence.findings import Evidence
from core.evidence.memory import TOP_SHARE, memory_sentences
from core.evidence.reference_health import fall_sentences
from ui.charts.evidence_charts import learnability_gap_figure, losses_by_pass_figure
from ui.evidence.verdict_strip import show_sentences
from ui.kit.chart_frame import show_chart
from ui.kit.tables import ALL_DOMAINS, COUNT, SHARE, VALUE, table_height


def show_memory(found: Evidence, colours: Mapping[str, str]) -> None:
    """What the verdict rests on."""
    left, right = st.columns(2, gap="medium")
    with left:
        if not found.memory.empty:
            _show_gap(found.memory, colours)
        elif not found.trained_top.empty:
            _show_trained_top(found.trained_top)
    with right:
        if not found.health.by_pass.empty:
            _show_passes(found, colours)


def _show_gap(memory: pd.DataFrame, colours: Mapping[str, str]) -> None:
    columns = ["domain", "rows", "own_q25", "own", "own_q75", "cross_q25", "cross_fitted", "cross_q75", "gap",
               "memory_share", "spearman"]  # fmt: skip
    numbers = memory.assign(domain=memory["domain"].mask(memory["overall"], ALL_DOMAINS))[columns]
    show_chart(learnability_gap_figure(memory, colours), numbers, "gap", "own-and-cross-fitted-learnability")
    labels = {"domain": "Domain", "own": "Own (median)", "cross_fitted": "Cross-fitted (median)",
              "memory_share": "Memory", "spearman": "Spearman"}  # fmt: skip
    formats = {"Own (median)": VALUE, "Cross-fitted (median)": VALUE, "Memory": SHARE, "Spearman": VALUE}
    shown = numbers[list(labels)].rename(columns=labels)
    st.dataframe(shown, hide_index=True, height=table_height(shown), column_config=formats)
    st.caption(
        "Memory: part of the loss that models removed from rows they were trained on and not from unseen rows. "
        "Spearman: own against cross-fitted learnability; 1: both rank the rows alike."
    )


def _show_trained_top(top: pd.DataFrame) -> None:
    columns = ["domain", "rows", "trained_share", "top", "trained_top_share"]
    numbers = top.assign(domain=top["domain"].mask(top["overall"], ALL_DOMAINS))[columns]
    best = f"Top {TOP_SHARE:.0%}"
    names = ("Domain", "Rows with a score", "Trained on", f"{best} (rows)", f"{best} trained on")
    labels = dict(zip(columns, names, strict=True))
    formats = {names[1]: COUNT, names[2]: SHARE, names[3]: COUNT, names[4]: SHARE}
    st.markdown("##### Rows that the reference was trained on")
    shown = numbers.rename(columns=labels)
    st.dataframe(shown, hide_index=True, height=table_height(shown), column_config=formats)
    st.caption(
        f"Trained on: share of the rows with a score. Top: the {TOP_SHARE:.0%} of them with the highest learnability. "
        "If it holds more trained rows than the data, memory decides part of the ranking."
    )


def _show_passes(found: Evidence, colours: Mapping[str, str]) -> None:
    by_pass = found.health.by_pass
    columns = ["domain", "rows", "passes", "models", "loss", "lowest", "highest"]
    numbers = by_pass.assign(domain=by_pass["domain"].mask(by_pass["overall"], ALL_DOMAINS))[columns]
    figure = losses_by_pass_figure(by_pass, colours)
    show_chart(figure, numbers.rename(columns={"rows": "which_rows"}), "passes", "loss-by-pass")
    show_sentences(fall_sentences(found.health))
    if not found.memory.empty and found.health.by_pass.empty:
        show_sentences(memory_sentences(found.memory))
