"""Is it stable? Overlap of the top rows of two references, and their rank correlation."""

import pandas as pd
import streamlit as st

from core.evidence.findings import Evidence
from core.evidence.stability import Agreement
from ui.charts.evidence_charts import agreement_figure
from ui.evidence.verdict_strip import show_sentences
from ui.kit.chart_frame import show_chart
from ui.kit.second_reference import show_second_reference
from ui.kit.tables import ALL_DOMAINS, COUNT, VALUE, table_height
from ui.shell.session import Session

_WITHIN = "All domains, ranked within each"


def show_stability(session: Session, found: Evidence) -> None:
    """What the verdict rests on, or the button that trains a second reference."""
    if found.stability_unknown:
        show_second_reference(session, found.run)
    named = {"Two seeds": found.seeds, "Own and cross-fitted": found.own}
    agreements = {label: agreement for label, agreement in named.items() if agreement is not None}
    agreements |= {f"Other run: {other.label}": other for other in found.other_runs}
    if agreements:
        left, right = st.columns(2, gap="medium")
        with left:
            _show_overlap(agreements)
        with right:
            _show_ranks(agreements)
            if not found.spread.empty:
                _show_spread(found.spread)
    show_sentences([found.order.sentence()] if found.order else [])


def _show_overlap(agreements: dict[str, Agreement]) -> None:
    domains = sorted({str(name) for agreement in agreements.values() for name in agreement.tops["domain"] if name})
    chosen = st.selectbox(
        "Domain", [_WITHIN, *domains], key="stability_domain", width=320,
        help="The chart shows the top rows of this domain, or those of all domains, each ranked by itself.",
    )  # fmt: skip
    domain = "" if chosen == _WITHIN else chosen
    tops = {label: found.tops[found.tops["domain"] == domain] for label, found in agreements.items()}
    drawn = {label: top for label, top in tops.items() if top["overlap"].notna().any()}
    if not drawn:
        st.caption("This domain has too few rows to compare tops.")
        return
    numbers = pd.concat([_labelled(found.tops, label) for label, found in agreements.items()])
    labels = {"share": "share_kept", "top": "rows_kept", "overlap": "share_overlap", "chance": "share_by_chance"}
    show_chart(
        agreement_figure(drawn, str(chosen)),
        numbers[["compared", "domain", "rows", *labels]].rename(columns=labels),
        "agreement",
        "top-rows-of-two-references",
        note="If this share of each domain is kept by highest learnability: how much of it would the other reference "
        "keep too?",
    )


def _show_ranks(agreements: dict[str, Agreement]) -> None:
    st.markdown("##### Rank correlation of learnability (Spearman)")
    found = pd.concat([_labelled(agreement.ranks, label) for label, agreement in agreements.items()])
    table = found.pivot(index="domain", columns="compared", values="spearman")[list(agreements)]
    table = table.reindex([ALL_DOMAINS, *(name for name in table.index if name != ALL_DOMAINS)])
    rows = found.groupby("domain")["rows"].max()
    table.insert(0, "Rows", [int(rows[name]) for name in table.index])
    shown = table.reset_index().rename(columns={"domain": "Domain"})
    formats = {"Rows": COUNT, **dict.fromkeys(agreements, VALUE)}
    st.dataframe(shown, hide_index=True, height=table_height(shown), column_config=formats)
    st.caption("1: the same ranking; 0: unrelated. All domains: mean over domains, weighted by rows.")


def _show_spread(spread: pd.DataFrame) -> None:
    st.markdown("##### Spread of learnability")
    columns = {
        "domain": "Domain",
        "seed_spread": "From seed to seed",
        "row_spread": "From row to row",
        "ratio": "Ratio",
    }
    shown = spread.assign(domain=spread["domain"].mask(spread["overall"], ALL_DOMAINS))[list(columns)]
    formats = dict.fromkeys(list(columns.values())[1:], VALUE)
    st.dataframe(
        shown.rename(columns=columns), hide_index=True, height=table_height(shown), column_config=formats
    )  # fmt: skip
    st.caption(
        "From seed to seed: median over rows of the standard deviation. From row to row: interquartile range / 1.349. "
        "A ratio near 1: differences between rows are noise."
    )


def _labelled(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    return frame.assign(compared=label, domain=frame["domain"].mask(frame["overall"], ALL_DOMAINS))
