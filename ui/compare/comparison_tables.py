"""Tables of two runs: rank correlation, rows whose rank changes most, and one row's numbers in both."""

from typing import Any

import pandas as pd
import streamlit as st

from core.data.scores import score_named
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
    "domain_rows": "Rows in domain",
    "prompt": "Prompt",
    "response": "Response",
}
"""Column labels of the movers table."""


def show_correlations(found: pd.DataFrame) -> None:
    """Spearman correlation of the two runs, overall and by domain, from `score_correlations`."""
    labels = {"domain": "Domain", "rows": "Rows", "spearman": "Spearman"}
    shown = found.assign(domain=found["domain"].mask(found["overall"], ALL_DOMAINS))[list(labels)]
    formats = {"Rows": COUNT, "Spearman": VALUE}
    st.dataframe(shown.rename(columns=labels), hide_index=True, column_config=formats)
    st.caption(
        "1: both runs rank the rows the same way; 0: unrelated; below 0: opposite. Read it by domain: 'All domains' "
        "also includes differences between domains, on which two runs easily agree. A selection takes only the top "
        "rows, where two runs can differ more: see Top rows."
    )


def show_overlap_at_paper_shares(overlap: pd.DataFrame) -> None:
    """Overlap of the top rows at the paper's shares, all domains ranked together. `overlap` is from `top_overlap`."""
    chosen = overlap[overlap["overall"] & overlap["share"].isin(PAPER_SHARES) & (overlap["top"] > 0)]
    found = [
        f"at {share:.3g} % **{both:,} of {top:,}** ({both / top:.0%}; by chance {chance:.1%})"
        for share, both, top, chance in zip(
            100 * chosen["share"], chosen["both"], chosen["top"], chosen["chance"], strict=True
        )
    ]
    if found:
        st.markdown(f"Top rows shared by both runs, all domains ranked together: {', '.join(found)}.")


def show_movers_table(movers: pd.DataFrame, field: str) -> None:
    """Movers in one direction, from `rank_movers`. Selecting a row writes its number into the field."""
    formats: dict[str, Any] = {
        **{LABELS[name]: COUNT for name in ("row_number", "first_rank", "second_rank", "domain_rows")},
        **{LABELS[name]: VALUE for name in ("first_score", "second_score")},
        **{LABELS[name]: st.column_config.TextColumn(width=260) for name in ("prompt", "response")},
        LABELS["moved"]: st.column_config.NumberColumn(format="%+.1f"),
    }
    shown = movers[list(LABELS)].rename(columns=LABELS)
    show_selectable(shown, movers["row_number"].tolist(), "movers", open_by_number(field), column_config=formats)


def show_both_scores(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The scores and losses of one row in both runs, each from `core.exploring.browsing.example`."""
    scores = [score_named(name) for name in first["scores"] if name in second["scores"]]
    lines = [(s.label, first["scores"][s.name], second["scores"][s.name], s.unit) for s in scores]
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
