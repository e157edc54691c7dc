"""The Trust tab: flags of a run's rows, how many flagged rows a selection includes, and known biases."""

from typing import Any

import pandas as pd
import streamlit as st

from core.data.errors import UserError
from core.data.filters import RowFilter
from core.data.scores import FLAGS, QUALITY_FLAGS, SCORES
from core.exploring.distributions import summary
from core.exploring.length_bias import length_bias
from core.exploring.trust import flag_effects
from core.scoring.reference_kind import reference_kind, reference_label
from core.selection import kept_rows, saved_selection, selections_of_run
from core.store import Store
from ui.kit.filter_bar import show_no_rows
from ui.kit.tables import (
    ALL_DOMAINS,
    COUNT,
    SHARE,
    VALUE,
    WITH_QUALITY_FLAG,
    show_paper_figures,
    show_spearman,
    table_height,
)
from ui.kit.widgets import show_error
from ui.plain_text import escaped


def show_trust(store: Store, run: str, row_filter: RowFilter) -> None:
    """Draw the tab for the rows that pass the filter."""
    known = store.run(run)
    table = str(known["table"])
    st.markdown("#### Models and encoding")
    for sentence in run_sentences(store, known):
        st.markdown(escaped(sentence))
    st.markdown("#### Flags")
    kept = _chosen_selection(store, run)
    totals = summary(store, table, "learnability", row_filter)
    if totals.empty:
        show_no_rows(row_filter)
        return
    _show_flags(flag_effects(store, table, row_filter, kept), totals, kept is not None)
    st.markdown("#### Row-weighted and token-weighted learnability")
    _show_averages(totals)
    here, paper = st.columns([3, 2], gap="medium")
    with here:
        st.markdown("#### Length bias: Spearman correlation of score and response length")
        show_spearman(length_bias(store, table, row_filter))
    with paper:
        st.markdown("#### Published for other data")
        show_paper_figures()


def run_sentences(store: Store, run: dict[str, Any]) -> list[str]:
    """Facts about the run that matter for reading its scores."""
    description = run["description"]
    models = description.get("models", {})
    encoding = description.get("encoding", {})
    found = [
        f"Base: {models.get('base', {}).get('label', 'unknown')}. "
        f"Reference: {reference_label(description) or 'unknown'}. "
        f"Precision: {description.get('dtype', 'unknown')}. "
        f"Template: {encoding.get('template', 'unknown')}, at most {encoding.get('max_length', 0):,} tokens."
    ]
    found += [str(notice) for notice in description.get("notices", ())]
    floors = [floor for floor in run["noise_floors"].values() if floor is not None]
    if floors:
        found.append(
            f"Noise floor: {max(floors):.1e} nats per token. A loss can change by this much when only the other rows "
            "in its batch change. Rows whose two losses differ by less are flagged unresolved."
        )
    kind = reference_kind(store, run)
    return [*found, f"{kind.sentence}. {kind.meaning}"]


def _chosen_selection(store: Store, run: str) -> tuple[str, list[Any]] | None:
    """The rows of the saved selection chosen on the page; None if there is none."""
    names = selections_of_run(store, run)
    if not names:
        st.caption("Save a selection of this run on the left to see here how many flagged rows it includes.")
        return None
    name = st.selectbox(
        "Saved selection", names, key="trust_selection", width=320,
        help="The table shows how many flagged rows this selection includes.",
    )  # fmt: skip
    try:
        return kept_rows(store, saved_selection(store, str(name)))
    except UserError as error:
        show_error(error)
        return None


def _show_flags(effects: pd.DataFrame, totals: pd.DataFrame, with_selection: bool) -> None:
    if effects.empty:
        st.caption("No row is flagged.")
        return
    overall = totals[totals["overall"]].iloc[0]
    rows, share = int(overall["rows"]), float(overall["share_quality_flag"])
    by_flag = effects.groupby("flag")[["rows", "kept_rows", "kept_tokens"]].sum()
    present = [flag for flag in FLAGS if flag in by_flag.index]
    table = pd.DataFrame(
        {
            "Flag": present,
            "Rows": [int(by_flag["rows"][flag]) for flag in present],
            "Share": [by_flag["rows"][flag] / rows if rows else None for flag in present],
            "Selected rows": [int(by_flag["kept_rows"][flag]) for flag in present],
            "Selected tokens": [int(by_flag["kept_tokens"][flag]) for flag in present],
            "Quality flag": ["yes" if flag in QUALITY_FLAGS else "no" for flag in present],
            "Meaning": [FLAGS[flag] for flag in present],
        }
    )
    if not with_selection:
        table = table.drop(columns=["Selected rows", "Selected tokens"])
    formats = {**dict.fromkeys(("Rows", "Selected rows", "Selected tokens"), COUNT), "Share": SHARE}
    meaning = st.column_config.TextColumn(width=600)
    st.dataframe(table, hide_index=True, height="content", column_config={**formats, "Meaning": meaning})
    st.caption(
        f"Rows and shares are of the {rows:,} rows that pass the filter; a row may have several flags. "
        f"{WITH_QUALITY_FLAG}: {round(share * rows):,} of {rows:,} rows ({share:.2%}). A quality flag means that a "
        "loss is missing, truncated or too small to compare. The other flags do not affect how well it was measured."
    )
    if with_selection:
        st.caption("To exclude rows with a flag, use 'Exclude flags' in the guards on the left.")
    with st.expander("Flags by domain"):
        pivot = effects.pivot(index="domain", columns="flag", values="rows").reindex(columns=present)
        shown = pivot.fillna(0).astype(int).reset_index().rename(columns={"domain": "Domain"})
        st.dataframe(shown, hide_index=True, column_config=dict.fromkeys(present, COUNT))


def _show_averages(totals: pd.DataFrame) -> None:
    shown = pd.DataFrame(
        {
            "Domain": totals["domain"].mask(totals["overall"], ALL_DOMAINS),
            "Rows with a score": totals["scored"],
            "Row-weighted": totals["mean"],
            "Token-weighted": totals["ratio_of_means"],
            "Negative": totals["share_negative"],
        }
    )
    formats = {"Rows with a score": COUNT, "Row-weighted": VALUE, "Token-weighted": VALUE, "Negative": SHARE}
    st.dataframe(shown, hide_index=True, height=table_height(shown), column_config=formats)
    st.caption(
        f"Row-weighted: mean of {SCORES['learnability'].formula} over rows; every row counts the same. "
        "Token-weighted: 1 − sum of reference NLL / sum of base NLL; long and hard rows count more. A large "
        "difference means that a few rows dominate one of them. Negative: the loss increased after fine-tuning."
    )
