"""Views of a selection: profile, domains, score distribution with the cut-off, and the rows at the cut-off."""

from typing import Any

import pandas as pd
import streamlit as st

from core.data.scores import FLAGS, SCORES
from core.exploring.distributions import histogram
from core.selection import KEPT, ORDERS, ScoredRun, Selection, SelectionProfile, Summary, near_the_cut
from core.store import Store
from ui.charts import DOMAINS_DRAWN, domain_colours, histogram_figure
from ui.charts.mixture_chart import MOST_DOMAINS, mixture_figure, mixture_shares
from ui.kit.chart_frame import show_chart
from ui.kit.hand_picks import show_pickable_row
from ui.kit.tables import CLOSE_VALUE, COUNT, open_by_number, show_selectable
from ui.plain_text import escaped
from ui.shell.session import Session

_WITHIN_BANDS = "within length bands"
_PROFILE_LABELS = {
    "short_response": "Short",
    "repetitive": "Repetitive",
    "copies_prompt": "Copies prompt",
    "trained_on": "Trained on",
}
_PROFILE_STYLE = """<style>
.st-key-profile [data-testid="stMetricValue"] { font-size: 1.15rem; }
.st-key-profile [data-testid="stMetricDelta"] { font-size: 0.8rem; }
</style>"""


def show_profile(profile: SelectionProfile) -> None:
    """One row of small figures: of the selection, and below each the same of all data."""
    st.html(_PROFILE_STYLE)
    with st.container(key="profile", horizontal=True, gap="small"):
        _figure(
            "Median length", _tokens(profile.median_tokens), f"data {_tokens(profile.data_median_tokens)}",
            "Scored tokens of a response: median of the selected rows, and of all rows with scored tokens.",
        )  # fmt: skip
        _figure(
            "Tokens", _share(profile.token_share), f"{_share(profile.row_share)} of rows",
            "Share of the data's scored tokens that the selected rows have, and their share of its rows.",
        )  # fmt: skip
        for flag, found in profile.flags.items():
            meaning = f"Share of the selected rows, and of all rows, flagged {flag}: {FLAGS[flag]}."
            if flag == "trained_on":
                meaning += " 0 % where the reference was trained elsewhere, because its rows are not known."
            _figure(_PROFILE_LABELS[flag], _share(found.share), f"data {_share(found.data_share)}", meaning)
        if second := profile.second_reference:
            _figure(
                "2nd reference", _share(second.share), f"{second.rows:,} rows in both",
                f"Share of the selected rows that the same recipe selects in run '{escaped(second.run)}': same base, "
                "another reference.",
            )  # fmt: skip


def _figure(label: str, value: str, beside: str, meaning: str) -> None:
    st.metric(label, value, beside, delta_color="off", delta_arrow="off", width="content", help=meaning)


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _tokens(count: float | None) -> str:
    return "–" if count is None else f"{count:,.0f} tokens"


def show_domains(selection: Selection, summary: Summary) -> None:
    """The domain mix as a chart, the numbers of each domain, and why other rows are not selected."""
    shares = mixture_shares(summary.domains)
    note = f"The chart shows the {MOST_DOMAINS} largest domains." if len(shares) > MOST_DOMAINS else ""
    figure = mixture_figure(shares, domain_colours(shares["domain"].tolist()))
    show_chart(figure, shares, "mixture", "mixture", note=note)
    cuts, capped = _cut_values(selection, summary), {pool.pool for pool in summary.pools if pool.capped}
    without_cut = _WITHIN_BANDS if selection.length_bands > 1 else ""
    shown = summary.domains.assign(
        cut=summary.domains["domain"].map(cuts).astype(float),
        note=["all eligible rows" if domain in capped else without_cut for domain in summary.domains["domain"]],
    )
    labels = {"domain": "Domain", "rows": "Rows", "kept_rows": "Rows selected", "tokens": "Tokens"}
    labels |= {"kept_tokens": "Tokens selected", "cut": f"{SCORES[selection.score].label} at the cut-off"}
    labels |= {"note": "Note"}
    counts = dict.fromkeys(("Rows", "Rows selected", "Tokens", "Tokens selected"), COUNT)
    st.dataframe(
        shown[list(labels)].rename(columns=labels),
        hide_index=True,
        column_config={**counts, labels["cut"]: CLOSE_VALUE},
    )
    dropped = summary.outcomes[summary.outcomes["outcome"] != KEPT]
    with st.expander(f"Why {summary.dropped_rows:,} rows are not selected"):
        names = {"domain": "Domain", "outcome": "Reason", "rows": "Rows", "tokens": "Tokens"}
        st.dataframe(dropped.rename(columns=names), hide_index=True, column_config=counts)


def _cut_values(selection: Selection, summary: Summary) -> dict[str, float]:
    """The score at the cut-off by domain (the same for all if pooled). Empty if the order does not use the score."""
    if selection.scope == "pooled":
        cut = summary.pools[0].cut_value
        return {} if cut is None else dict.fromkeys(summary.domains["domain"], cut)
    return {pool.pool: pool.cut_value for pool in summary.pools if pool.cut_value is not None}


def show_distribution(store: Store, run: ScoredRun, selection: Selection, summary: Summary) -> None:
    """The score histogram of the rows that pass the filters, with the cut-off."""
    largest = summary.domains.nlargest(DOMAINS_DRAWN, "rows")["domain"].tolist()
    row_filter = store.searched(selection.filter)
    counted = histogram(store, run.table, selection.score, row_filter, domains=largest)
    colours = {d: c for d, c in domain_colours(summary.domains["domain"].tolist()).items() if d in largest}
    cuts = _cut_values(selection, summary)
    figure = histogram_figure(counted, colours, one_above_another=True, cuts=cuts)
    direction = "left" if selection.order == "lowest" else "right"
    note = f"Dashed line: cut-off. Rows to its {direction} are selected." if cuts else ""
    if selection.length_bands > 1:
        note = f"There is no cut-off: rows are ranked {_WITHIN_BANDS}."
    elif not selection.has_score_cut:
        note = f"There is no cut-off, because the order '{ORDERS[selection.order].label}' does not use the score."
    if len(colours) < len(summary.domains):
        note += f" The chart shows the {len(colours)} largest of {len(summary.domains):,} domains."
    show_chart(figure, counted.bins, "select_histogram", "cut", note=note.strip())


def show_cut(session: Session, run: ScoredRun, selection: Selection) -> None:
    """The rows on both sides of the cut-off, to read and to pick by hand."""
    keep: Any = {"persist_state": "session"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        domain = st.selectbox(
            "Domain", list(run.totals), key="cut_domain", help="Shows the rows of this domain.", width=320, **keep
        )
        count = st.selectbox(
            "Rows on each side", (3, 5, 10, 25), index=1, key="cut_count", width=160,
            help="Number of last selected rows and of first rows not selected.", **keep,
        )  # fmt: skip
        opened = st.number_input(
            "Open row", min_value=1, value=None, step=1, key="cut_row", width=160, placeholder="Number",
            help="Row number. Shows the full row with its pick controls.",
        )  # fmt: skip
    found = near_the_cut(session.store, selection, str(domain), int(count), run)
    for title, part in (
        ("Last rows selected", found[found["outcome"] == KEPT]),
        ("First rows not selected", found[found["outcome"] != KEPT]),
    ):
        st.caption(title)
        if part.empty:
            st.text("No rows.")
            continue
        _show_rows(part.drop(columns="outcome"), SCORES[selection.score].label)
    st.caption("Select a row to open it and pick it by hand.")
    if opened is not None:
        show_pickable_row(session, run, int(opened))


def _show_rows(rows: pd.DataFrame, label: str) -> None:
    """A table of rows near the cut-off. Selecting a row opens it."""
    names = {"rank": "Rank", "row_number": "Row", "value": label, "token_count": "Tokens"}
    formats: dict[str, Any] = dict.fromkeys(("rank", "row_number", "token_count"), "localized")
    formats |= dict.fromkeys(("value", "base_loss", "reference_loss"), "%.4f")
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(names.get(name, name.replace("_", " ").capitalize()), format=shown)
        for name, shown in formats.items()
    }
    config |= {name: name.capitalize() for name in ("prompt", "response")}
    show_selectable(rows, rows["row_number"].tolist(), "cut", open_by_number("cut_row"), column_config=config)
