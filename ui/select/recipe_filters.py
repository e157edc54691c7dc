"""Which rows may be kept: the controls of a recipe's filter and duplicates, and a filter put into them from elsewhere.

What no control shows (lassos, ranges on other scores, flags that rows must have) stands below them as chips.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from core.data.filters import EVERYTHING, Range, RowFilter
from core.data.scores import DEFAULT_SCORE, FLAGS, SCORES
from core.data.text_search import ANY_TEXT, SEARCH_KINDS, SEARCH_PLACES, TextSearch
from core.selection import ScoredRun
from core.store import Store
from core.store.near_duplicates import NearDuplicateSet, near_duplicate_sets
from ui.kit.filter_bar import FLAG_HELP, KIND_HELP, KIND_LABELS, show_chip_buttons

_KEEP: Any = {"persist_state": "session"}
_ANY: Any = {"placeholder": "Any", **_KEEP}
_STALE = ", data changed since"
_NO_SEARCH = 0.0  # no threshold; a select box takes None for nothing chosen
_CARRIED, _RANGE_OF, _NOTE = "recipe_carried", "recipe_range_of", "recipe_filter_note"


@dataclass(frozen=True, slots=True)
class Eligible:
    """What the controls say: the filter, whether equal conversations are kept once, and the threshold of the search
    for near duplicates of which only the best is kept."""

    row_filter: RowFilter
    collapse_duplicates: bool
    near_duplicates: float | None


def eligible_form(store: Store, run: ScoredRun, score: str) -> Eligible:
    """Draw the controls; `score` is the one that the recipe ranks by."""
    if note := st.session_state.pop(_NOTE, None):
        st.info(note)
    title, clear = st.columns([4, 1], vertical_alignment="center")
    title.markdown("#### Which rows may be kept")
    _follow_score(score)
    domains, without = _domains_and_flags(run)
    ranges = _ranges(score)
    search = _search()
    collapse, near = _duplicates(store, run)
    carried: RowFilter = st.session_state.get(_CARRIED, EVERYTHING)
    _chips(carried)
    row_filter = RowFilter(domains, (*ranges, *carried.ranges), without, carried.with_flags, search, carried.regions)
    if row_filter != EVERYTHING:
        clear.button(
            "Clear all", key="recipe_clear", type="tertiary", on_click=_put_filter, args=(EVERYTHING, score),
            help="Let every row be kept again; duplicates stay as they are set.",
        )  # fmt: skip
    return Eligible(row_filter, collapse, near)


def put_eligible(eligible: Eligible, score: str) -> None:
    """Set the controls to what a recipe that ranks by this score says; to be called before they are drawn."""
    st.session_state["recipe_collapse"] = eligible.collapse_duplicates
    st.session_state["recipe_near"] = eligible.near_duplicates or _NO_SEARCH
    _put_filter(eligible.row_filter, score)


def put_filter_into_form(row_filter: RowFilter, score: str) -> None:
    """Set the controls to a filter made elsewhere, where `score` was looked at; to be called in a button's callback.

    The ranking stays as it was chosen: who brushes base losses may well rank by learnability.
    """
    ranked_by = str(st.session_state.get("recipe_score", DEFAULT_SCORE))
    _put_filter(row_filter, ranked_by)
    note = "The filter of Explore stands in these controls now."
    if score != ranked_by:
        note += f" Rows are still ranked by {SCORES[ranked_by].label}, not by {SCORES[score].label}, which was drawn."
    st.session_state[_NOTE] = note


def _domains_and_flags(run: ScoredRun) -> tuple[tuple[str, ...], tuple[str, ...]]:
    domains, flags = st.columns(2)
    # A filter may name domains of another run: it would be changed in silence if they could not stand here.
    known = list(dict.fromkeys([*run.totals, *st.session_state.get("recipe_domains", [])]))
    chosen = domains.multiselect(
        "Domains", known, key="recipe_domains", help="Keep rows of these domains only. None chosen: of every domain.",
        **_ANY,
    )  # fmt: skip
    if missing := [domain for domain in chosen if domain not in run.totals]:
        domains.text(f"Not in this run: {', '.join(missing)}.")
    without = flags.multiselect(
        "Leave out rows flagged", list(FLAGS), key="recipe_without", placeholder="None", help=FLAG_HELP, **_KEEP
    )
    return tuple(chosen), tuple(without)


def _ranges(score: str) -> list[Range]:
    label = SCORES[score].label
    lowest, highest, shortest, longest = st.columns(4)
    of_score: Any = {"value": None, "step": 0.01, "format": "%.4g", **_ANY}
    of_score["help"] = f"{label}, high: {SCORES[score].higher_means}. Rows without this score are left out anyway."
    low = lowest.number_input(f"{label} from", key="recipe_low", **of_score)
    high = highest.number_input(f"{label} to", key="recipe_high", **of_score)
    of_length: Any = {"value": None, "step": 1, "min_value": 0, "help": "Scored tokens of the response.", **_ANY}
    short = shortest.number_input("Tokens from", key="recipe_short", **of_length)
    long = longest.number_input("Tokens to", key="recipe_long", **of_length)
    bounds = ((score, low, high), ("token_count", short, long))
    return [Range(*each) for each in bounds if each[1] is not None or each[2] is not None]


def _search() -> TextSearch:
    state = st.session_state
    state.setdefault("recipe_search_kind", "words")
    state.setdefault("recipe_search_place", "either")
    words, how, where = st.columns([5, 3, 4])
    query = words.text_input(
        "Search in the text", key="recipe_text", help="Keep only rows whose text has this; any case.", **_ANY
    )
    kind = how.selectbox(
        "Search for", list(SEARCH_KINDS), format_func=KIND_LABELS.__getitem__, key="recipe_search_kind", help=KIND_HELP,
        **_KEEP,
    )  # fmt: skip
    place = where.selectbox(
        "In", list(SEARCH_PLACES), format_func=lambda name: SEARCH_PLACES[name].capitalize(),
        key="recipe_search_place", help="Where the text is looked for.", **_KEEP,
    )  # fmt: skip
    search = TextSearch(query or "", str(kind), str(place))
    return search or ANY_TEXT


def _duplicates(store: Store, run: ScoredRun) -> tuple[bool, float | None]:
    """Exact duplicates, and near ones where they have been looked for."""
    st.session_state.setdefault("recipe_collapse", True)
    st.session_state.setdefault("recipe_near", _NO_SEARCH)
    exact, near = st.columns(2, vertical_alignment="bottom")
    collapse = exact.checkbox(
        "Collapse exact duplicates",
        key="recipe_collapse",
        help="Of equal conversations only the first that passes the filters may be kept, so none is trained on twice.",
        **_KEEP,
    )
    known = {_NO_SEARCH: "No"} | _searches(store, run.dataset)
    asked = float(st.session_state["recipe_near"])
    known.setdefault(asked, f"Alike from {asked:g}: not looked for in this dataset")
    if len(known) == 1:
        with near:
            _link_to_search("Near duplicates have not been looked for.")
        return bool(collapse), None
    threshold = near.selectbox(
        "Collapse near duplicates", list(known), format_func=known.__getitem__, key="recipe_near",
        disabled=not collapse, **_KEEP,
        help="Of rows whose text is almost the same, only the one that ranks highest is kept. Each choice is a search "
        "made on Explore under Near duplicates, by how much text two rows share. Needs exact ones collapsed too.",
    )  # fmt: skip
    if _STALE in known[threshold]:
        with near:
            _link_to_search("Rows that came after this search count as no duplicate of any.")
    return bool(collapse), (threshold or None) if collapse else None


def _searches(store: Store, dataset: str) -> dict[float, str]:
    """The searches there are by threshold, in words."""
    searches = sorted(near_duplicate_sets(store, dataset), key=lambda search: search.threshold)
    return {search.threshold: _in_words(search) for search in searches}


def _in_words(search: NearDuplicateSet) -> str:
    groups = "1 group" if search.group_count == 1 else f"{search.group_count:,} groups"
    return f"Alike from {search.threshold:.2f} ({groups}{_STALE if search.stale else ''})"


def _link_to_search(sentence: str) -> None:
    st.caption(sentence)
    if st.button(
        "Find near duplicates", key="recipe_find_near", type="tertiary", icon=":material/arrow_forward:",
        help="Opens Explore's Near duplicates, where the text of all rows is compared.",
    ):  # fmt: skip
        st.switch_page("pages/explore_page.py", query_params={"view": "Near duplicates"})


def _chips(carried: RowFilter) -> None:
    """What the filter has beyond the controls, each with a way to take it away."""
    if carried == EVERYTHING:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Also:", width="content")
        show_chip_buttons(carried, "recipe_chip", _carry)


def _carry(row_filter: RowFilter) -> None:
    st.session_state[_CARRIED] = row_filter


def _put_filter(row_filter: RowFilter, score: str) -> None:
    state = st.session_state
    state["recipe_domains"], state["recipe_without"] = list(row_filter.domains), list(row_filter.without_flags)
    state["recipe_text"] = row_filter.search.query
    if row_filter.search:
        state["recipe_search_kind"], state["recipe_search_place"] = row_filter.search.kind, row_filter.search.place
    _carry(RowFilter(with_flags=row_filter.with_flags, regions=row_filter.regions))
    _put_ranges(row_filter.ranges, score)


def _put_ranges(ranges: Iterable[Range], score: str) -> None:
    """The first range on the score and on the length into their fields, the others to the chips."""
    state, others = st.session_state, list(ranges)
    shown = {
        column: next((each for each in others if each.column == column), None) for column in (score, "token_count")
    }
    for bounds in filter(None, shown.values()):
        others.remove(bounds)
    of_score, of_length = (bounds or Range(column) for column, bounds in shown.items())
    state[_RANGE_OF], state["recipe_low"], state["recipe_high"] = score, of_score.low, of_score.high
    # Lengths are whole, so a brush from 9.3 on begins at 10.
    state["recipe_short"] = None if of_length.low is None else max(0, math.ceil(of_length.low))
    state["recipe_long"] = None if of_length.high is None else max(0, math.floor(of_length.high))
    carried: RowFilter = state.get(_CARRIED, EVERYTHING)
    _carry(replace(carried, ranges=tuple(others)))


def _follow_score(score: str) -> None:
    """When the ranking changes, a range on the former score becomes a chip: its numbers mean nothing of the new one."""
    state = st.session_state
    before = state.setdefault(_RANGE_OF, score)
    if before == score:
        return
    carried: RowFilter = state.get(_CARRIED, EVERYTHING)
    ranges = [
        Range(column, low, high)
        for column, low, high in (
            (before, state.get("recipe_low"), state.get("recipe_high")),
            ("token_count", state.get("recipe_short"), state.get("recipe_long")),
        )
        if low is not None or high is not None
    ]
    _put_ranges([*ranges, *carried.ranges], score)
