"""The rows of the page: all that pass the filters, or those of one outcome, with the open row beside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import streamlit as st

from core.data.errors import UserError
from core.data.filters import Query
from core.data.scores import scores_of
from core.exploring.browsing import FLAGGED, MOST_AT_ONCE, conversations
from core.selection import KEPT, ScoredRun, Selection, kept_condition, near_the_cut, outcomes_of
from core.store import Store
from ui.curate.like_these_view import offer_like_these, show_like_job
from ui.curate.linked_charts import LinkedView
from ui.curate.row_panel import show_row_panel
from ui.curate.rows_table import row_field, show_page, show_table, sorting_controls
from ui.kit.filter_bar import show_no_rows
from ui.kit.hand_picks import offer_undo_of_bulk, pick_all, show_hand_picks
from ui.kit.tables import open_by_number, show_selectable
from ui.kit.widgets import open_linked_tab, show_error
from ui.shell.entrance import require_login
from ui.shell.session import Session, take_rerun

PARTS = {
    "All": "all rows that pass the filters above",
    "Kept": "of these, the rows that are selected",
    "At the cut": "the last rows selected and the first not selected, whatever the filters above",
    "Dropped": "of the rows that pass the filters above, those not selected, with the reason",
    "Flagged": "of these, the rows with any flag but trained_on",
    "Picks": "the rows picked by hand, whatever the filters above",
}
_EARLIER = {
    "Rows at the cut-off": "At the cut",
    "Just inside and outside": "At the cut",
    "Hand picks": "Picks",
    "By domain": "All",
    "Score distribution": "All",
    "Score and cut": "All",
}
_EVERY: Query = ("true", [])


@st.fragment
def show_rows(session: Session, run: ScoredRun, view: LinkedView, selection: Selection | None) -> None:
    """The switch, the table and the open row. A fragment, so that going to another row draws nothing else.
    `selection`: None if its controls make none."""
    take_rerun()
    require_login()
    try:
        show_like_job(session, run)
        part = _part()
        if part == "All" and not view.rows:
            show_no_rows(view.row_filter, removable=True)
            return
        table, panel = st.columns([4, 3], gap="small")
        with table:
            on_page = _show_part(session, run, view, selection, part)
        with panel:
            show_row_panel(session, run, selection, on_page)
    except UserError as error:
        show_error(error)


def _part() -> str:
    open_linked_tab("shown", PARTS, _EARLIER)
    chosen = st.segmented_control(
        "Rows", list(PARTS), default="All", key="shown", required=True, bind="query-params",
        help="  \n".join(f"{name}: {meaning}." for name, meaning in PARTS.items()),
    )  # fmt: skip
    return str(chosen)


def _show_part(session: Session, run: ScoredRun, view: LinkedView, selection: Selection | None, part: str) -> list[int]:
    """Draw the rows of a part; returns the row numbers on the page."""
    if part == "Picks":
        row_field()
        offer_like_these(session, run)
        return show_hand_picks(session, run, selection.score if selection else view.score.name)
    if selection is None and part in ("Kept", "At the cut", "Dropped"):
        st.info("There is no selection to show. The controls on the left say why.")
        return []
    if part == "At the cut":
        assert selection is not None
        return _show_cut(session.store, run, selection)
    return _show_filtered(session, run, view, selection, part)


def _show_filtered(
    session: Session, run: ScoredRun, view: LinkedView, selection: Selection | None, part: str
) -> list[int]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        sorting = sorting_controls(view.score, scores_of(run.roles))
        row_field()
        place = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    above = st.container()
    with _condition(session.store, run, selection, part) as within:
        frame = show_page(session.store, run.table, view.row_filter, view.score, sorting, within, part)
        with place:
            _bulk_picks(session.store, run, view, within)
            offer_like_these(session, run, lambda: conversations(session.store, run.table, view.row_filter, within))
    if frame.empty:
        st.text("No rows.")
        return []
    numbers = [int(number) for number in frame["row_number"]]
    reasons = None
    if part == "Dropped" and selection is not None:
        found = outcomes_of(session.store, selection, run, numbers)
        reasons = [found[number].outcome for number in numbers]
    with above:
        show_table(frame, view.score, reasons)
    return numbers


@contextmanager
def _condition(store: Store, run: ScoredRun, selection: Selection | None, part: str) -> Iterator[Query]:
    """The SQL condition of a part's rows."""
    if selection is None or part in ("All", "Flagged"):
        yield (FLAGGED, []) if part == "Flagged" else _EVERY
        return
    with kept_condition(store, selection, run) as (condition, values):
        yield (condition, values) if part == "Kept" else (f"NOT ({condition})", values)


def _bulk_picks(store: Store, run: ScoredRun, view: LinkedView, within: Query) -> None:
    """Keep or drop all rows of the table, once their popover is open."""
    popover = st.popover("Pick all", key="bulk", on_change="rerun", help="Hand picks for all rows of this table.")
    if popover.open:  # a closed one runs no query
        with popover:
            found = conversations(store, run.table, view.row_filter, within)
            if len(found) > MOST_AT_ONCE:
                st.caption(
                    f"The table has more than {MOST_AT_ONCE:,} conversations. Hand picks of so many are refused: "
                    "narrow the filters, or use them as selection filter."
                )
                return
            st.caption(f"Hand picks for the {len(found):,} conversations of the whole table, not only of this page.")
            for label, key, keep in (("Keep all", "bulk_keep", True), ("Drop all", "bulk_drop", False)):
                st.button(
                    f"{label} {len(found):,}", key=key, on_click=pick_all, args=(run.dataset, found, keep),
                    disabled=not found, help="Overrides filters, duplicate removal and amounts for them.",
                )  # fmt: skip
    offer_undo_of_bulk(run.dataset)


def _show_cut(store: Store, run: ScoredRun, selection: Selection) -> list[int]:
    """The rows on both sides of a domain's cut-off."""
    keep: Any = {"persist_state": "session"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        domain = st.selectbox(
            "Domain", list(run.totals), key="cut_domain", help="Shows the rows of this domain.", width=240, **keep
        )
        count = st.selectbox(
            "Rows on each side", (3, 5, 10, 25), index=1, key="cut_count", width=130,
            help="Number of last selected rows and of first rows not selected.", **keep,
        )  # fmt: skip
        row_field()
    found = near_the_cut(store, selection, str(domain), int(count), run)
    for title, part in (
        ("Last rows selected", found[found["outcome"] == KEPT]),
        ("First rows not selected", found[found["outcome"] != KEPT]),
    ):
        st.caption(title)
        if part.empty:
            st.text("No rows.")
            continue
        _show_side(part.drop(columns="outcome"), selection.value_label)
    return [int(number) for number in found["row_number"]]


def _show_side(rows: pd.DataFrame, label: str) -> None:
    names = {"rank": "Rank", "row_number": "Row", "value": label, "token_count": "Tokens"}
    formats: dict[str, Any] = dict.fromkeys(("rank", "row_number", "token_count"), "localized")
    formats |= dict.fromkeys(("value", "base_loss", "reference_loss"), "%.4f")
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(names.get(name, name.replace("_", " ").capitalize()), format=shown)
        for name, shown in formats.items()
    }
    config |= {name: name.capitalize() for name in ("prompt", "response")}
    show_selectable(rows, rows["row_number"].tolist(), "cut", open_by_number("example"), column_config=config)
