"""Curate: score distributions, linked charts and rows of a run beside the controls of a selection of them."""

from collections.abc import Callable
from functools import cache, partial

import pandas as pd
import streamlit as st

from core.data.errors import QueryStopped, UserError
from core.data.filters import EVERYTHING, RowFilter
from core.data.scores import Score
from core.exploring.distributions import domain_counts
from core.selection import (
    Coverage,
    ScoredRun,
    Selection,
    Summary,
    scored_run,
    selected_by_second,
    selection_coverage,
    selection_profile,
)
from core.store import Store
from ui.charts import domain_colours
from ui.curate.controls import load, show_controls
from ui.curate.distribution_view import show_distribution
from ui.curate.drawn_domains import drawn_domains
from ui.curate.linked_charts import LinkedView, show_linked_length
from ui.curate.map_view import show_map
from ui.curate.near_duplicates_view import show_near_duplicates
from ui.curate.recipe_filters import put_filter_into_form
from ui.curate.recipe_form import put_recipe
from ui.curate.rows_view import show_rows
from ui.curate.saved_selections import show_saved_selections
from ui.curate.selection_comparison import show_comparison
from ui.curate.selection_views import show_coverage, show_cuts, show_domains, show_profile, show_second
from ui.curate.trust_view import show_trust
from ui.kit.draft_state import keep_draft, restore_draft, show_draft
from ui.kit.filter_bar import show_chips, show_filter_bar
from ui.kit.filter_state import chosen_filter, current_filter, set_filter
from ui.kit.status_line import show_run_line
from ui.kit.widgets import ignored_in_link, open_linked_tab, score_picker, show_error
from ui.plain_text import escaped
from ui.shell.entrance import require_login
from ui.shell.session import Session, open_session, remember, remembered, take_rerun

_DOMAINS_LISTED = 6
_SAVED = "Saved selections"
# Tabs of the earlier page Select, which links may name, and where their content is.
_EARLIER_TABS = {"New selection": "Overview", _SAVED: _SAVED}


def curate() -> None:
    """The whole page."""
    session = open_session()
    name = show_run_line(session, "curate")
    if failure := st.session_state.pop("load_failure", None):
        show_error(failure)
    if name is not None:
        restore_draft(session, name, put_recipe)
        take_rerun(whole_page=True)  # also what the draft's picks ask for: all of the page is drawn here
        show_instrument(session, name)


@st.fragment
def show_instrument(session: Session, name: str) -> None:
    """The controls and what they change. A fragment, so that moving a slider reruns only this part."""
    take_rerun()
    require_login()
    try:
        run = scored_run(session.store, name)
        left, right = st.columns([3, 7], gap="medium")
        with left:
            draft = st.container()

        def draw_filters() -> LinkedView | None:
            with right:
                return show_filters(session.store, run)

        def draw_controls() -> tuple[Selection, Summary] | None:
            with left:
                return show_controls(session, run)

        if is_new_filter():  # what was changed is drawn first, so that its figures come soon
            view, chosen = draw_filters(), draw_controls()
        else:
            chosen, view = draw_controls(), draw_filters()
        if view:
            with right:
                show_right(session, run, view, chosen)
        if chosen:
            keep_draft(session, chosen[0])
        with draft:
            show_draft(session, name, put_recipe)
    except UserError as error:
        show_problem(error)


def is_new_filter() -> bool:
    """Whether the filter is another one than when this was asked last."""
    asked = current_filter()
    is_new = bool(asked != remembered("filter_drawn"))
    remember("filter_drawn", asked)
    return is_new


def show_filters(store: Store, run: ScoredRun) -> LinkedView | None:
    """The score's picker, the filters and what passes them. Returns what the charts show; None, and a message on the
    page, if the filters take too long."""
    try:
        picker, filters = st.columns([2, 7], gap="small", vertical_alignment="bottom")
        with picker:
            score = score_picker(run.roles)
        row_filter = chosen_filter(store)
        counts = domain_counts(store, run.table, row_filter)
        domains = [str(name) for name in counts["domain"]]
        with filters:
            show_filter_bar(row_filter, domains, score)
        rows = show_readout(counts, row_filter, score)
    except UserError as error:
        show_problem(error)
        return None
    colours = domain_colours(domains)
    drawn = drawn_domains(counts, "rows" if rows else "all_rows")
    return LinkedView(store, run.table, row_filter, score, {name: colours[name] for name in drawn}, rows)


def show_right(session: Session, run: ScoredRun, view: LinkedView, chosen: tuple[Selection, Summary] | None) -> None:
    """The figures of the selection, the charts and the rows."""
    store = session.store
    if chosen:
        covered, second = show_profile(selection_profile(store, chosen[0], run, with_second=False))
    # Asked for in two places, and computed at most once.
    coverage = cache(lambda: selection_coverage(store, chosen[0], run) if chosen else None)
    if show_views(session, run, view, chosen, coverage) != _SAVED:
        show_rows(session, run, view, chosen[0] if chosen else None)
    if chosen:  # last, because these take longest: cosines have to be computed, or another run to be ranked
        show_coverage(coverage(), covered)
        show_second(selected_by_second(store, chosen[0], run), second)


def show_readout(counts: pd.DataFrame, row_filter: RowFilter, score: Score) -> int:
    """Rows and tokens that pass the filters, in total and by domain, and a chip for each filter. Returns the rows."""
    rows, tokens = int(counts["rows"].sum()), int(counts["tokens"].sum())
    all_rows, all_tokens = int(counts["all_rows"].sum()), int(counts["all_tokens"].sum())
    with st.container(key="readout", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f"**{rows:,}** of {all_rows:,} rows, **{tokens:,}** of {all_tokens:,} scored tokens", width="content"
        )
        show_chips(row_filter)
        if row_filter.conditions():
            st.button(
                "Use as selection filter",
                key="use_filter",
                type="tertiary",
                icon=":material/arrow_back:",
                help="Puts these filters into the guards of the selection on the left.",
                on_click=put_filter_into_form,
                args=(row_filter, score.name),
            )
        else:
            st.caption("Drag on any chart to filter the page.", width="content")
    if row_filter.conditions():
        st.caption(_by_domain(counts))
    return rows


def _by_domain(counts: pd.DataFrame) -> str:
    largest = counts.nlargest(_DOMAINS_LISTED, "rows")
    found = zip(largest["domain"], largest["rows"], largest["all_rows"], strict=True)
    parts = [f"{escaped(domain)} {rows:,} of {all_rows:,}" for domain, rows, all_rows in found]
    more = len(counts) - len(largest)
    return " · ".join(parts) + (f" · and {more:,} more domains" if more else "")


def show_views(
    session: Session,
    run: ScoredRun,
    view: LinkedView,
    chosen: tuple[Selection, Summary] | None,
    coverage: Callable[[], Coverage | None],
) -> str | None:
    """The charts in tabs; a closed tab runs no query. Returns the open one."""
    views: dict[str, Callable[[], None]] = {
        "Overview": lambda: show_cuts(session, run, view, chosen),
        "Map": lambda: show_map(session, run, view, chosen[0] if chosen else None, coverage),
        "Distribution": lambda: show_distribution(view),
        "Length": lambda: show_linked_length(view),
        "Trust": lambda: show_trust(session.store, run.name, view.row_filter),
        "Near-duplicates": lambda: show_near_duplicates(session, run.name),
        "By domain": lambda: show_domains(*chosen) if chosen else None,
        _SAVED: lambda: show_saved(session),
    }
    _open_earlier_tab()
    open_linked_tab("view", views, {"Near duplicates": "Near-duplicates"})
    tabs = st.tabs(list(views), key="view", on_change="rerun", bind="query-params")
    opened = None
    for tab, (name, show) in zip(tabs, views.items(), strict=True):
        if tab.open:
            opened = name
            with tab:
                show()
    return opened


def _open_earlier_tab() -> None:
    """Let a link to a tab of the earlier page Select open what it showed."""
    asked = st.query_params.get("tab")
    if asked is None:
        return
    del st.query_params["tab"]
    if asked in _EARLIER_TABS:
        st.session_state.setdefault("view", _EARLIER_TABS[asked])
    else:
        ignored_in_link("tab", asked)


def show_saved(session: Session) -> None:
    """The saved selections, and two of them compared."""
    names = show_saved_selections(session, partial(load, session.store))
    if names:
        show_comparison(session.store, names)


def show_problem(error: UserError) -> None:
    """What is wrong, and a way out of filters that take too long."""
    show_error(error)
    if isinstance(error, QueryStopped):
        st.button("Remove all filters", key="remove_slow_filters", on_click=set_filter, args=(EVERYTHING,))


try:
    curate()
except UserError as error:
    show_problem(error)
