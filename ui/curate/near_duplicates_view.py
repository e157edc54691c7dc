"""The Near-duplicates tab: the search in a run's dataset, and the groups found."""

import math
from typing import Any

import pandas as pd
import streamlit as st

from core.data.scores import DEFAULT_SCORE, Score, score_named
from core.exploring.near_duplicate_groups import (
    GROUP_ORDERS,
    GroupTotals,
    group_totals,
    groups_page,
)
from core.near_duplicates.jobs import DEFAULT_THRESHOLD, LOWEST_THRESHOLD, begin_near_duplicates, open_search
from core.selection.near_search import run_searches
from core.selection.recipe import BY_EMBEDDINGS, BY_TEXT
from core.store.near_duplicates import NearDuplicateSet
from ui.curate.near_duplicate_group import in_sentence, show_group
from ui.kit.job_view import begin_job, follow_job, show_failure
from ui.kit.tables import open_by_number, show_selectable
from ui.kit.widgets import ignored_in_link, linked_number
from ui.shell.access import may_run
from ui.shell.session import Session, remember, remembered

_GROUPS_A_PAGE = 10


def show_near_duplicates(session: Session, run: str) -> None:
    """Draw the tab for the run's dataset; groups show the score chosen on the page."""
    found = session.store.run(run)
    dataset, table = str(found["dataset"]), str(found["table"])
    by = run_searches(session.store, run)
    if by[BY_EMBEDDINGS] and _compared() == BY_EMBEDDINGS:
        _show_semantic(session, table, by[BY_EMBEDDINGS])
        return
    searches = by[BY_TEXT]
    threshold = _threshold(searches)
    search = next((each for each in searches if each.threshold == threshold), None)
    show_failure(session, "near_job")
    job = open_search(session.store, dataset, threshold)
    if job:
        follow_job(session, job)
    elif search is None:
        _show_unsearched(session, dataset, threshold, searches)
    elif search.stale:
        st.warning(
            f"The dataset has changed since this search of {search.example_count:,} unique examples. Rows added later "
            "are in no group. Search again to include them."
        )
        _search_button(session, dataset, threshold, "Search again")
    if search:
        _show_search(session, table, search, score_named(remembered("score", DEFAULT_SCORE)))


def _compared() -> str | None:
    """Whether the groups shown are those of texts or of embeddings."""
    return st.segmented_control(
        "Compared", [BY_TEXT, BY_EMBEDDINGS], key="near_by", default=BY_TEXT, required=True, persist_state="session",
        help="Groups by embeddings come from the command near-duplicates --run.",
    )  # fmt: skip


def _show_semantic(session: Session, table: str, searches: list[NearDuplicateSet]) -> None:
    """The groups of a search of embeddings that there is."""
    known = {search.threshold: search for search in searches}
    chosen = st.selectbox(
        "Cosine of the embeddings", list(known), format_func="{:.2f}".format, key="near_cosine", width=240,
        help="Two rows are linked if the cosine of their embeddings reaches this value. Linked rows form a group.",
    )  # fmt: skip
    search = known.get(chosen, searches[0])
    if search.stale:
        st.warning("The dataset has changed since this search. Rows added later are in no group.")
    _show_search(session, table, search, score_named(remembered("score", DEFAULT_SCORE)))


def _threshold(searches: list[NearDuplicateSet]) -> float:
    """The similarity threshold: from the URL, else of the newest search, else the default."""
    newest = searches[0].threshold if searches else DEFAULT_THRESHOLD
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        chosen = st.slider(
            "Similarity threshold",
            LOWEST_THRESHOLD,
            1.0,
            _asked_threshold() or newest,
            0.01,
            format="%.2f",
            key="near_threshold",
            persist_state="session",
            width=360,
            help="Two rows are linked if their similarity reaches this value: the Jaccard index of their three-word "
            "sequences. 0.80 finds small edits; lower values also find rewordings and rows of one template; 1.00 finds "
            "the same words with other case or spacing. Linked rows form a group.",
        )
    threshold = round(float(chosen), 2)
    if st.query_params.get("near") != f"{threshold:g}":
        st.query_params["near"] = f"{threshold:g}"
    return threshold


def _asked_threshold() -> float | None:
    """The threshold in the URL, None if missing or invalid."""
    given = st.query_params.get("near")
    if given is None:
        return None
    try:
        asked = round(float(given), 2)
    except ValueError:
        asked = math.nan
    if LOWEST_THRESHOLD <= asked <= 1:
        return asked
    ignored_in_link("near", given)
    return None


# The search


def _show_unsearched(session: Session, dataset: str, threshold: float, searches: list[NearDuplicateSet]) -> None:
    st.info(
        "No search at this threshold yet. Near-identical rows add little: find the groups, then let a selection "
        "take only the best row of each."
    )
    _search_button(session, dataset, threshold, "Find near-duplicates")
    if searches:
        known = ", ".join(f"{each.threshold:.2f} ({each.group_count:,} groups)" for each in searches)
        st.caption(f"Existing searches: {known}.")


def _search_button(session: Session, dataset: str, threshold: float, label: str) -> None:
    clicked = st.button(
        label,
        key="near_search",
        type="primary",
        disabled=not may_run(),
        help="Compares the text of all unique conversations of the dataset on the CPU: a few seconds for thousands of "
        "rows, a few minutes for a million. The search continues if you close this page.",
    )
    if clicked:
        begin_job("near_job", lambda: begin_near_duplicates(session.store, dataset, threshold))


# The result


def _show_search(session: Session, table: str, search: NearDuplicateSet, score: Score) -> None:
    totals = group_totals(session.store, table, search.near_duplicate_set_id)
    if not totals.groups:
        st.info(
            f"No two of the {search.example_count:,} unique conversations reach this similarity. "
            "A lower threshold may find some."
        )
        return
    _show_totals(totals)
    if remembered("near_set", search.near_duplicate_set_id) != search.near_duplicate_set_id:
        st.session_state["group"] = None  # group numbers are valid for one search only
    remember("near_set", search.near_duplicate_set_id)
    _show_groups(session, table, search, score, totals)
    opened = st.session_state.get("group")
    if opened is not None:
        show_group(session.store, table, search.near_duplicate_set_id, score, int(opened))


def _show_totals(totals: GroupTotals) -> None:
    figures = (
        ("Groups", totals.groups, "Groups of rows that are linked directly or through other rows."),
        ("Rows in groups", totals.rows, "Rows of this run in any group. Exact copies are counted separately."),
        ("Largest group", totals.largest, "Rows in the largest group."),
        ("Rows removed if one per group is kept", totals.without_best, "Without other filters. Includes exact copies."),
    )  # fmt: skip
    for column, (label, value, meaning) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(label, f"{value:,}", help=meaning)


def _show_groups(session: Session, table: str, search: NearDuplicateSet, score: Score, totals: GroupTotals) -> None:
    """One page of the groups. Selecting one sets the `group` field, which is bound to the URL, and opens it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        order = st.selectbox(
            "Order", list(GROUP_ORDERS), format_func=GROUP_ORDERS.__getitem__, key="near_order", width=280,
            help="A wide spread of scores within a group shows how much wording alone changes the score.",
        )  # fmt: skip
        linked_number("Open group", "group", "Group number. You can also select a group in the table.")
    pages = math.ceil(totals.groups / _GROUPS_A_PAGE)
    above = st.container()
    asked = hash((table, search.near_duplicate_set_id, score.name, order))
    page = st.pagination(pages, key=f"near_page_{asked}") if pages > 1 else 1
    frame = groups_page(session.store, table, search.near_duplicate_set_id, score.name, order, page, _GROUPS_A_PAGE)
    with above:
        _groups_table(frame, score)
    first = (page - 1) * _GROUPS_A_PAGE + 1
    st.caption(f"Groups {first:,} to {first + len(frame) - 1:,} of {totals.groups:,}. Select one to compare its rows.")


def _groups_table(frame: pd.DataFrame, score: Score) -> None:
    formats: dict[str, Any] = {
        "group_number": st.column_config.NumberColumn("Group", format="localized"),
        "rows": st.column_config.NumberColumn("Rows", format="localized"),
        "examples": st.column_config.NumberColumn(
            "Unique", format="localized", help="Unique conversations: exact copies count once."
        ),
        "domains": "Domains",
        "best": st.column_config.NumberColumn(f"Best {in_sentence(score)}", format="%.3f"),
        "spread": st.column_config.NumberColumn("Spread", format="%.3f", help="Best minus worst score of the group."),
        "text": st.column_config.TextColumn("Start of the best row", width=520),
    }
    show_selectable(
        frame, frame["group_number"].tolist(), "near_groups", open_by_number("group"), column_order=list(formats),
        column_config=formats,
    )  # fmt: skip
