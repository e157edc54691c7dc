"""Tables that several pages share, with labels, units and number formats."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pandas as pd
import streamlit as st

from core.data.scores import QUALITY_FLAGS, SCORES, Score
from core.exploring.length_bias import FORMS, PAPER_FIGURES, length_sentence
from ui.plain_text import escaped

ALL_DOMAINS = "All domains"
_ROWS_SEEN = 40
WITH_QUALITY_FLAG = "With a quality flag"
"""Label of the share of rows with any of `core.data.scores.QUALITY_FLAGS`."""
COUNT = st.column_config.NumberColumn(format="localized")
SHARE = st.column_config.NumberColumn(format="percent")
VALUE = st.column_config.NumberColumn(format="%.3f")
CLOSE_VALUE = st.column_config.NumberColumn(format="%.4f")
"""For scores that differ only slightly, such as rows at a cut-off."""
_SPEARMAN_COLUMNS = {f"spearman_{name}": f"{SCORES[name].label} ({form})" for name, form in FORMS.items()}
_TWO_DECIMALS = dict.fromkeys(_SPEARMAN_COLUMNS.values(), st.column_config.NumberColumn(format="%.2f"))


def table_height(table: pd.DataFrame) -> int | Literal["content"]:
    """The height of a table with a row for each domain: a few are all seen, of more the table scrolls."""
    return "content" if len(table) <= _ROWS_SEEN else 440


def show_summary(found: pd.DataFrame, score: Score) -> None:
    """The summary table of a score by domain, with its row-weighted and token-weighted mean."""
    means = ("Row-weighted mean", "Token-weighted mean")
    labels = {"domain": "Domain", "rows": "Rows", "mean": means[0], "ratio_of_means": means[1], "median": "Median"}
    labels |= {"q25": "Quartile 1", "q75": "Quartile 3", "min": "Minimum", "max": "Maximum", "tokens": "Tokens"}
    labels |= {"share_negative": "Negative", "share_quality_flag": WITH_QUALITY_FLAG, "no_score": "No score"}
    shown = found.assign(domain=found["domain"].mask(found["overall"], ALL_DOMAINS)).dropna(axis=1, how="all")
    shown = shown[[name for name in labels if name in shown]].rename(columns=labels)
    formats = {
        **dict.fromkeys(("Rows", "Tokens", "No score"), COUNT),
        **dict.fromkeys(("Negative", WITH_QUALITY_FLAG), SHARE),
        **dict.fromkeys((*means, "Median", "Quartile 1", "Quartile 3", "Minimum", "Maximum"), VALUE),
    }
    st.dataframe(shown, hide_index=True, height=table_height(shown), column_config=formats)
    flags = ", ".join(QUALITY_FLAGS)
    note = f"{WITH_QUALITY_FLAG}: share of the counted rows with any of {flags}. See the Trust tab for each flag."
    if score.name == "learnability":
        note = (
            "Row-weighted mean: every row counts the same. Token-weighted mean: 1 − sum of reference NLL / sum of base "
            f"NLL; long and hard rows count more. Negative: the loss increased after fine-tuning. {note}"
        )
    st.caption(escaped(note))


def show_spearman(found: pd.DataFrame) -> None:
    """Spearman correlation with length by domain, for the three forms of the gain, and a sentence about it."""
    shown = found.assign(domain=found["domain"].mask(found["overall"], ALL_DOMAINS))
    labels = {"domain": "Domain", "rows": "Rows", **_SPEARMAN_COLUMNS}
    formats = {"Rows": COUNT, **_TWO_DECIMALS}
    st.dataframe(shown[list(labels)].rename(columns=labels), hide_index=True, column_config=formats)
    st.caption(
        "0: score does not depend on length; 1: longer rows always score higher; −1: shorter rows do. Read it by "
        f"domain: 'All domains' also includes differences between domains. {escaped(length_sentence(found))}"
    )


def show_paper_figures() -> None:
    """Spearman correlations with length that the paper's authors published for their data."""
    columns = ["Data, base", "Raw form", "Ratio"]
    formats = dict.fromkeys(columns[1:], st.column_config.NumberColumn(format="%.2f"))
    st.dataframe(pd.DataFrame(PAPER_FIGURES, columns=columns), hide_index=True, column_config=formats)
    st.caption(
        "Published for other data (arXiv 2310.13008v2); its raw form is almost certainly the sum, "
        f"{SCORES['implicit_reward'].label.lower()} here. Its ratio is {SCORES['learnability'].label.lower()}: the "
        "same from sums and means."
    )


def show_selectable(
    frame: pd.DataFrame, chosen_by: Sequence[Any], key: str, choose: Callable[[Any], None], **options: Any
) -> None:
    """A table with single-row selection. `choose` is called before the page reruns, with the row's item of
    `chosen_by`, or None if the selection was cleared. A table with other rows starts without a selection."""
    key = f"{key}_{hash(tuple(chosen_by))}"

    def selected() -> None:
        places = st.session_state[key].selection.rows
        choose(chosen_by[places[0]] if places else None)

    st.dataframe(frame, hide_index=True, key=key, on_select=selected, selection_mode="single-row", **options)


def open_by_number(field: str) -> Callable[[Any], None]:
    """A `choose` callback that writes the row number into the number field of that key, which opens the row."""

    def choose(number: Any) -> None:
        st.session_state[field] = None if number is None else int(number)

    return choose
