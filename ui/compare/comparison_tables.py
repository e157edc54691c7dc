"""Tables of two runs side by side: their rank correlation, the rows that move, and one row's numbers in both."""

from typing import Any

import pandas as pd
import streamlit as st

from core.data.scores import SCORES
from core.exploring.rank_changes import PAPER_SHARES
from ui.kit.tables import ALL_DOMAINS, COUNT, VALUE, open_by_number, show_selectable

LABELS = {
    "row_number": "Row",
    "domain": "Domain",
    "moved": "Moved (points)",
    "first_score": "Score in A",
    "second_score": "Score in B",
    "first_rank": "Rank in A",
    "second_rank": "Rank in B",
    "domain_rows": "Of rows",
    "prompt": "Prompt",
    "response": "Response",
}
"""Columns of the rows of two runs, in words."""


def show_correlations(found: pd.DataFrame) -> None:
    """Spearman of the two runs over all rows and by domain, as `score_correlations` gives it."""
    labels = {"domain": "Domain", "rows": "Rows", "spearman": "Spearman"}
    shown = found.assign(domain=found["domain"].mask(found["overall"], ALL_DOMAINS))[list(labels)]
    formats = {"Rows": COUNT, "Spearman": VALUE}
    st.dataframe(shown.rename(columns=labels), hide_index=True, column_config=formats)
    st.caption(
        "1: both runs rank the rows alike; 0: their ranks are unrelated; below 0: opposite. Over all domains it also "
        "holds how the domains differ, on which two runs easily agree: read it within a domain. A selection keeps the "
        "top only, where two runs can differ more than over the whole: see Top rows."
    )


def say_overlap_at_the_papers_shares(overlap: pd.DataFrame) -> None:
    """How many of the top rows both runs share at the shares the paper names, all domains ranked together.

    `overlap`: as `top_overlap` gives it.
    """
    chosen = overlap[overlap["overall"] & overlap["share"].isin(PAPER_SHARES) & (overlap["top"] > 0)]
    found = [
        f"at {share:.3g} % **{both:,} of {top:,}** ({both / top:.0%}; by chance {chance:.1%})"
        for share, both, top, chance in zip(
            100 * chosen["share"], chosen["both"], chosen["top"], chosen["chance"], strict=True
        )
    ]
    if found:
        st.markdown(f"In the top of both runs, all domains ranked together: {', '.join(found)}.")


def show_movers_table(movers: pd.DataFrame, field: str) -> None:
    """Movers of one direction, as `rank_movers` gives them; selecting one puts its number into the field."""
    formats: dict[str, Any] = {
        **{LABELS[name]: COUNT for name in ("row_number", "first_rank", "second_rank", "domain_rows")},
        **{LABELS[name]: VALUE for name in ("first_score", "second_score")},
        **{LABELS[name]: st.column_config.TextColumn(width=260) for name in ("prompt", "response")},
        LABELS["moved"]: st.column_config.NumberColumn(format="%+.1f"),
    }
    shown = movers[list(LABELS)].rename(columns=LABELS)
    show_selectable(shown, movers["row_number"].tolist(), "movers", open_by_number(field), column_config=formats)


def show_both_scores(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The scores and losses of one row in both runs, each as `core.exploring.browsing.example` gives it."""
    lines = [(s.label, first["scores"][s.name], second["scores"][s.name], s.unit) for s in SCORES.values()]
    lines += [
        (label, first[name], second[name], unit)
        for name, label, unit in (
            ("base_nll_sum", "Base NLL sum", "nats per response"),
            ("reference_nll_sum", "Reference NLL sum", "nats per response"),
            ("token_count", "Scored tokens", "tokens"),
            ("noise_floor", "Noise floor", "nats per token"),
        )
    ]
    table = pd.DataFrame(
        [(label, _number(a), _number(b), _change(a, b), unit) for label, a, b, unit in lines],
        columns=["Measure", "A", "B", "B − A", "Unit"],
    )
    right = st.column_config.TextColumn(alignment="right")
    formats = dict.fromkeys(("A", "B", "B − A"), right)
    st.dataframe(table, hide_index=True, height="content", column_config=formats)
    for letter, flags in (("A", first["flags"]), ("B", second["flags"])):
        if flags:
            st.text(f"Flags in {letter}: {', '.join(flags)}")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:,.4g}"


def _change(first: float | None, second: float | None) -> str:
    if first is None or second is None:
        return "none"
    return f"{second - first:+,.3g}" if second != first else "0"
