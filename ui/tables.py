"""Tables: the numbers that stand beside the charts, labelled, with units and formats."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.exploring.length_bias import PAPER_FIGURES
from core.scores import Score

ALL_DOMAINS = "All domains"
COUNT = st.column_config.NumberColumn(format="localized")
SHARE = st.column_config.NumberColumn(format="percent")
VALUE = st.column_config.NumberColumn(format="%.3f")
CLOSE_VALUE = st.column_config.NumberColumn(format="%.4f")
"""Where rows stand beside each other whose scores differ by little: at a cut, among picks."""
_SPEARMAN_COLUMNS = {"spearman_loss_difference": "Loss difference (raw)", "spearman_learnability": "Learnability"}
_TWO_DECIMALS = dict.fromkeys(_SPEARMAN_COLUMNS.values(), st.column_config.NumberColumn(format="%.2f"))


def show_summary(found: pd.DataFrame, score: Score) -> None:
    """The summary table; the two averages are labelled, because they differ."""
    means = (
        ("Mean of ratios", "Ratio of means") if score.name == "learnability" else ("Mean over rows", "Mean over tokens")
    )
    labels = {"domain": "Domain", "rows": "Rows", "mean": means[0], "ratio_of_means": means[1], "median": "Median"}
    labels |= {"q25": "Quartile 1", "q75": "Quartile 3", "min": "Minimum", "max": "Maximum", "tokens": "Tokens"}
    labels |= {"share_negative": "Negative", "share_flagged": "Flagged", "no_score": "No score"}
    shown = found.assign(domain=found["domain"].mask(found["overall"], ALL_DOMAINS)).dropna(axis=1, how="all")
    shown = shown[[name for name in labels if name in shown]].rename(columns=labels)
    formats = {
        **dict.fromkeys(("Rows", "Tokens", "No score"), COUNT),
        **dict.fromkeys(("Negative", "Flagged"), SHARE),
        **dict.fromkeys((*means, "Median", "Quartile 1", "Quartile 3", "Minimum", "Maximum"), VALUE),
    }
    st.dataframe(shown, hide_index=True, height="content", column_config=formats)
    if score.name == "learnability":
        st.caption(
            "Mean of ratios: every row weighs the same. Ratio of means: 1 − sum of reference NLL / sum of base NLL, "
            "so long and hard rows weigh more. Negative: fine-tuning made the row worse."
        )


def show_spearman(found: pd.DataFrame) -> None:
    """Spearman by domain: the raw difference first, then the normalised score."""
    shown = found.assign(domain=found["domain"].mask(found["overall"], ALL_DOMAINS))
    labels = {"domain": "Domain", "rows": "Rows", **_SPEARMAN_COLUMNS}
    formats = {"Rows": COUNT, **_TWO_DECIMALS}
    st.dataframe(shown[list(labels)].rename(columns=labels), hide_index=True, column_config=formats)
    st.caption(
        "0: length and score are unrelated; 1: longer rows always score higher. Read it within a domain: over all "
        "domains it also holds how the domains differ. Normalising lowers the bias and does not remove it."
    )


def show_paper_figures() -> None:
    """The paper's own Spearman figures, to read beside one's own."""
    columns = ["Data, base", *_SPEARMAN_COLUMNS.values()]
    st.dataframe(pd.DataFrame(PAPER_FIGURES, columns=columns), hide_index=True, column_config=_TWO_DECIMALS)
    st.caption("Published note on arXiv 2310.13008v2; other data and models, so a comparison in kind only.")


def show_selectable(
    frame: pd.DataFrame, chosen_by: Sequence[Any], key: str, choose: Callable[[Any], None], **options: Any
) -> None:
    """A table of which one row can be selected. `choose` is called, before the page runs, with that row's item of
    `chosen_by`, or None where the mark was taken away; other rows make another table, which has no mark yet."""
    key = f"{key}_{hash(tuple(chosen_by))}"

    def selected() -> None:
        places = st.session_state[key].selection.rows
        choose(chosen_by[places[0]] if places else None)

    st.dataframe(frame, hide_index=True, key=key, on_select=selected, selection_mode="single-row", **options)


def open_by_number(field: str) -> Callable[[Any], None]:
    """A `choose` that puts a row's number into the number field of that key, which opens it."""

    def choose(number: Any) -> None:
        st.session_state[field] = None if number is None else int(number)

    return choose
