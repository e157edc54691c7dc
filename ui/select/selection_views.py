"""What a recipe does, from several sides: by domain, at the cut, and row by row beside it."""

from typing import Any

import pandas as pd
import streamlit as st

from core.data.scores import SCORES
from core.exploring.distributions import histogram
from core.selection import KEPT, ORDERS, ScoredRun, Selection, Summary, near_the_cut
from core.store import Store
from ui.charts import DOMAINS_DRAWN, domain_colours, histogram_figure
from ui.charts.mixture_chart import MOST_DOMAINS, mixture_figure, mixture_shares
from ui.kit.chart_frame import show_chart
from ui.kit.hand_picks import show_pickable_row
from ui.kit.tables import CLOSE_VALUE, COUNT, open_by_number, show_selectable
from ui.shell.session import Session


def show_domains(selection: Selection, summary: Summary) -> None:
    """The mixture as a chart, the numbers of each domain, and why the other rows are left out."""
    shares = mixture_shares(summary.domains)
    note = f"The {MOST_DOMAINS} largest domains are drawn." if len(shares) > MOST_DOMAINS else ""
    figure = mixture_figure(shares, domain_colours(shares["domain"].tolist()))
    show_chart(figure, shares, "mixture", "mixture", note=note)
    cuts, capped = _cut_values(selection, summary), {pool.pool for pool in summary.pools if pool.capped}
    shown = summary.domains.assign(
        cut=summary.domains["domain"].map(cuts).astype(float),
        note=["all that can be kept" if domain in capped else "" for domain in summary.domains["domain"]],
    )
    labels = {"domain": "Domain", "rows": "Rows", "kept_rows": "Rows kept", "tokens": "Tokens"}
    labels |= {"kept_tokens": "Tokens kept", "cut": f"{SCORES[selection.score].label} at the cut", "note": "Note"}
    counts = dict.fromkeys(("Rows", "Rows kept", "Tokens", "Tokens kept"), COUNT)
    st.dataframe(
        shown[list(labels)].rename(columns=labels),
        hide_index=True,
        column_config={**counts, labels["cut"]: CLOSE_VALUE},
    )
    dropped = summary.outcomes[summary.outcomes["outcome"] != KEPT]
    with st.expander(f"Why {summary.dropped_rows:,} rows are left out"):
        names = {"domain": "Domain", "outcome": "Reason", "rows": "Rows", "tokens": "Tokens"}
        st.dataframe(dropped.rename(columns=names), hide_index=True, column_config=counts)


def _cut_values(selection: Selection, summary: Summary) -> dict[str, float]:
    """The score at the cut by domain; pooled, all have the same. Empty where the order does not rank by score."""
    if selection.scope == "pooled":
        cut = summary.pools[0].cut_value
        return {} if cut is None else dict.fromkeys(summary.domains["domain"], cut)
    return {pool.pool: pool.cut_value for pool in summary.pools if pool.cut_value is not None}


def show_distribution(store: Store, run: ScoredRun, selection: Selection, summary: Summary) -> None:
    """The score's histogram of the rows that pass the filters, with the cut drawn in."""
    counted = histogram(store, run.table, selection.score, store.searched(selection.filter))
    largest = summary.domains.nlargest(DOMAINS_DRAWN, "rows")["domain"].tolist()
    colours = {d: c for d, c in domain_colours(summary.domains["domain"].tolist()).items() if d in largest}
    cuts = _cut_values(selection, summary)
    figure = histogram_figure(counted, colours, one_above_another=True, cuts=cuts)
    direction = "left" if selection.order == "lowest" else "right"
    note = f"Dashed: the cut; rows to the {direction} of it are kept." if cuts else ""
    if not ORDERS[selection.order].by_score:
        note = f"No cut is drawn: the order is '{ORDERS[selection.order].label}', not the score."
    if len(colours) < len(summary.domains):
        note += f" The {len(colours)} largest of {len(summary.domains):,} domains are drawn."
    show_chart(figure, counted.bins[counted.bins["domain"].isin(largest)], "select_histogram", "cut", note=note.strip())


def show_cut(session: Session, run: ScoredRun, selection: Selection) -> None:
    """The rows on both sides of the cut, to read and to pick by hand."""
    keep: Any = {"persist_state": "session"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        domain = st.selectbox(
            "Domain at the cut", list(run.totals), key="cut_domain", help="Whose rows to look at.", width=320, **keep
        )
        count = st.selectbox(
            "Rows on each side", (3, 5, 10, 25), index=1, key="cut_count", width=160,
            help="How many of the last rows kept, and of the first rows left out.", **keep,
        )  # fmt: skip
        opened = st.number_input(
            "Open row", min_value=1, value=None, step=1, key="cut_row", width=160, placeholder="Number",
            help="Number of a row, to read it whole and to keep it or leave it out by hand.",
        )  # fmt: skip
    found = near_the_cut(session.store, selection, str(domain), int(count), run)
    for title, part in (
        ("Just inside: the last rows kept", found[found["outcome"] == KEPT]),
        ("Just outside: the first rows left out", found[found["outcome"] != KEPT]),
    ):
        st.caption(title)
        if part.empty:
            st.text("There are none.")
            continue
        _show_rows(part.drop(columns="outcome"), SCORES[selection.score].label)
    st.caption("Select a row to open it, and to keep it or leave it out by hand.")
    if opened is not None:
        show_pickable_row(session, run, int(opened))


def _show_rows(rows: pd.DataFrame, label: str) -> None:
    """Rows near the cut; cells show text as it is, and selecting a row opens it."""
    names = {"rank": "Rank", "row_number": "Row", "value": label, "token_count": "Tokens"}
    formats: dict[str, Any] = dict.fromkeys(("rank", "row_number", "token_count"), "localized")
    formats |= dict.fromkeys(("value", "base_loss", "reference_loss"), "%.4f")
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(names.get(name, name.replace("_", " ").capitalize()), format=shown)
        for name, shown in formats.items()
    }
    config |= {name: name.capitalize() for name in ("prompt", "response")}
    show_selectable(rows, rows["row_number"].tolist(), "cut", open_by_number("cut_row"), column_config=config)
