"""Explore: score distributions of a run by domain, linked charts, and the rows."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from core.data.errors import QueryStopped, UserError
from core.data.filters import EVERYTHING, RowFilter
from core.data.scores import Score, scores_of
from core.exploring.distributions import domain_counts
from ui.charts import domain_colours
from ui.curate.distribution_view import show_distribution
from ui.curate.drawn_domains import drawn_domains
from ui.curate.linked_charts import LinkedView, show_linked_histogram, show_linked_length, show_linked_plane
from ui.curate.near_duplicates_view import show_near_duplicates
from ui.curate.recipe_filters import put_filter_into_form
from ui.curate.row_dialog import open_row, take_step
from ui.curate.rows_table import show_rows
from ui.curate.trust_view import show_trust
from ui.kit.filter_bar import show_chips, show_filter_bar, show_no_rows
from ui.kit.filter_state import chosen_filter, set_filter
from ui.kit.guide import show_guide
from ui.kit.reference_badge import show_reference_badge
from ui.kit.widgets import open_linked_tab, run_picker, score_picker, show_error
from ui.plain_text import escaped
from ui.shell.session import Session, open_session

_DOMAINS_LISTED = 6


def explore() -> None:
    """The whole page."""
    st.header("Explore")
    session = open_session()
    show_guide(session, "explore")
    left, right = st.columns(2)
    with left:
        run = run_picker(session)
        if run is None:
            return
        show_reference_badge(session.store, run)
    known = session.store.run(run)
    with right:
        score = score_picker(known["loss_sets"])
    st.caption(f"{score.label} = {score.formula} [{score.unit}]. High: {score.higher_means}.")
    table = str(known["table"])
    row_filter = chosen_filter(session.store)
    counts = domain_counts(session.store, table, row_filter)
    domains = [str(name) for name in counts["domain"]]
    show_filter_bar(row_filter, domains, score)
    rows = show_readout(counts, row_filter, score)
    colours = domain_colours(domains)
    drawn = drawn_domains(counts, "rows" if rows else "all_rows")
    view = LinkedView(session.store, table, row_filter, score, {name: colours[name] for name in drawn})
    show_views(session, run, view)
    st.markdown("#### Rows")
    if not rows:
        show_no_rows(row_filter, removable=True)
        return
    take_step()
    on_page = show_rows(session.store, table, row_filter, score, rows, scores_of(known["loss_sets"]))
    if (opened := st.session_state.get("example")) is not None:
        open_row(session, run, int(opened), on_page)


def show_readout(counts: pd.DataFrame, row_filter: RowFilter, score: Score) -> int:
    """Rows and tokens that pass the filters, in total and by domain, and a chip for each filter. Returns the rows."""
    rows, tokens = int(counts["rows"].sum()), int(counts["tokens"].sum())
    all_rows, all_tokens = int(counts["all_rows"].sum()), int(counts["all_tokens"].sum())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f"**{rows:,}** of {all_rows:,} rows, **{tokens:,}** of {all_tokens:,} scored tokens", width="content"
        )
        show_chips(row_filter)
        if row_filter.conditions() and st.button(
            "Use as selection filter",
            key="use_filter",
            type="tertiary",
            icon=":material/arrow_forward:",
            help="Opens Select with these filters.",
            on_click=put_filter_into_form,
            args=(row_filter, score.name),
        ):
            st.switch_page("pages/select_page.py")
    if row_filter.conditions():
        st.caption(_by_domain(counts))
    else:
        st.caption("Drag on any chart to filter the page.")
    return rows


def _by_domain(counts: pd.DataFrame) -> str:
    largest = counts.nlargest(_DOMAINS_LISTED, "rows")
    found = zip(largest["domain"], largest["rows"], largest["all_rows"], strict=True)
    parts = [f"{escaped(domain)} {rows:,} of {all_rows:,}" for domain, rows, all_rows in found]
    more = len(counts) - len(largest)
    return " · ".join(parts) + (f" · and {more:,} more domains" if more else "")


def show_views(session: Session, run: str, view: LinkedView) -> None:
    """The charts in tabs; a closed tab runs no query."""
    views: dict[str, Callable[[], None]] = {
        "Overview": lambda: show_overview(view),
        "Distribution": lambda: show_distribution(view),
        "Length": lambda: show_linked_length(view),
        "Trust": lambda: show_trust(session.store, run, view.row_filter),
        "Near-duplicates": lambda: show_near_duplicates(session, run),
    }
    open_linked_tab("view", views, {"Near duplicates": "Near-duplicates"})
    tabs = st.tabs(list(views), key="view", on_change="rerun", bind="query-params")
    for tab, show in zip(tabs, views.values(), strict=True):
        if tab.open:
            with tab:
                show()


def show_overview(view: LinkedView) -> None:
    """The score histogram and the loss plane, linked."""
    left, right = st.columns(2, gap="medium")
    with left:
        show_linked_histogram(view)
    with right:
        show_linked_plane(view)


try:
    explore()
except QueryStopped as error:
    show_error(error)
    st.button("Remove all filters", key="remove_slow_filters", on_click=set_filter, args=(EVERYTHING,))
except UserError as error:
    show_error(error)
