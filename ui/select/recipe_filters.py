"""The filter controls of a recipe: filters and duplicate removal; a filter can also be set from another page.

Conditions without a control (lassos, ranges on other scores, required flags) are shown as chips below.
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
_STALE = ", outdated"
_NO_SEARCH = 0.0  # means no threshold; in a select box, None would mean that nothing is chosen
_CARRIED, _RANGE_OF, _NOTE = "recipe_carried", "recipe_range_of", "recipe_filter_note"


@dataclass(frozen=True, slots=True)
class Eligible:
    """The controls' values: the filter, whether exact duplicates are removed, and the threshold of the near-duplicate
    search of whose groups only the best row is selected (None: not used)."""

    row_filter: RowFilter
    collapse_duplicates: bool
    near_duplicates: float | None


def eligible_form(store: Store, run: ScoredRun, score: str) -> Eligible:
    """Draw the controls. `score` is the score that the recipe ranks by."""
    if note := st.session_state.pop(_NOTE, None):
        st.info(note)
    title, clear = st.columns([4, 1], vertical_alignment="center")
    title.markdown("#### Filters")
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
            help="Removes all filters. The duplicate settings do not change.",
        )  # fmt: skip
    return Eligible(row_filter, collapse, near)


def put_eligible(eligible: Eligible, score: str) -> None:
    """Set the controls to a recipe's values; `score` is the one it ranks by. Call before they are drawn."""
    st.session_state["recipe_collapse"] = eligible.collapse_duplicates
    st.session_state["recipe_near"] = eligible.near_duplicates or _NO_SEARCH
    _put_filter(eligible.row_filter, score)


def put_filter_into_form(row_filter: RowFilter, score: str) -> None:
    """Set the controls to a filter from a page that showed `score`. Call in a button's callback.

    The ranking does not change: a user may filter by base loss and rank by learnability.
    """
    ranked_by = str(st.session_state.get("recipe_score", DEFAULT_SCORE))
    _put_filter(row_filter, ranked_by)
    note = "Explore filters applied."
    if score != ranked_by:
        note += f" Rows are still ranked by {SCORES[ranked_by].label}, not by {SCORES[score].label} as on Explore."
    st.session_state[_NOTE] = note


def _domains_and_flags(run: ScoredRun) -> tuple[tuple[str, ...], tuple[str, ...]]:
    domains, flags = st.columns(2)
    # A filter may name domains of another run; without these options it would change silently.
    known = list(dict.fromkeys([*run.totals, *st.session_state.get("recipe_domains", [])]))
    chosen = domains.multiselect(
        "Domains", known, key="recipe_domains", help="Select rows only from these domains. If empty: all domains.",
        **_ANY,
    )  # fmt: skip
    if missing := [domain for domain in chosen if domain not in run.totals]:
        domains.text(f"Not in this run: {', '.join(missing)}.")
    without = flags.multiselect(
        "Exclude flags", list(FLAGS), key="recipe_without", placeholder="None", help=FLAG_HELP, **_KEEP
    )
    return tuple(chosen), tuple(without)


def _ranges(score: str) -> list[Range]:
    label = SCORES[score].label
    lowest, highest, shortest, longest = st.columns(4)
    of_score: Any = {"value": None, "step": 0.01, "format": "%.4g", **_ANY}
    of_score["help"] = f"{label}, high: {SCORES[score].higher_means}. Rows without this score are always excluded."
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
        "Search", key="recipe_text", help="Only rows whose text contains this. Case is ignored.", **_ANY
    )
    kind = how.selectbox(
        "Match", list(SEARCH_KINDS), format_func=KIND_LABELS.__getitem__, key="recipe_search_kind", help=KIND_HELP,
        **_KEEP,
    )  # fmt: skip
    place = where.selectbox(
        "In", list(SEARCH_PLACES), format_func=lambda name: SEARCH_PLACES[name].capitalize(),
        key="recipe_search_place", help="Where the search looks.", **_KEEP,
    )  # fmt: skip
    search = TextSearch(query or "", str(kind), str(place))
    return search or ANY_TEXT


def _duplicates(store: Store, run: ScoredRun) -> tuple[bool, float | None]:
    """The settings for exact duplicates, and for near-duplicates if a search exists."""
    st.session_state.setdefault("recipe_collapse", True)
    st.session_state.setdefault("recipe_near", _NO_SEARCH)
    exact, near = st.columns(2, vertical_alignment="bottom")
    collapse = exact.checkbox(
        "Remove exact duplicates",
        key="recipe_collapse",
        help="Of identical conversations, only the first that passes the filters can be selected.",
        **_KEEP,
    )
    known = {_NO_SEARCH: "No"} | _searches(store, run.dataset)
    asked = float(st.session_state["recipe_near"])
    known.setdefault(asked, f"Threshold {asked:g}: no search in this dataset")
    if len(known) == 1:
        with near:
            _link_to_search("No near-duplicate search yet.")
        return bool(collapse), None
    threshold = near.selectbox(
        "Remove near-duplicates", list(known), format_func=known.__getitem__, key="recipe_near",
        disabled=not collapse, **_KEEP,
        help="Of each group of near-identical rows, only the row that ranks highest can be selected. The options are "
        "the searches made on Explore, tab Near-duplicates. Exact duplicates must be removed too.",
    )  # fmt: skip
    if _STALE in known[threshold]:
        with near:
            _link_to_search("Rows added after this search are not treated as near-duplicates.")
    return bool(collapse), (threshold or None) if collapse else None


def _searches(store: Store, dataset: str) -> dict[float, str]:
    """A label for each existing search, by threshold."""
    searches = sorted(near_duplicate_sets(store, dataset), key=lambda search: search.threshold)
    return {search.threshold: _search_label(search) for search in searches}


def _search_label(search: NearDuplicateSet) -> str:
    groups = "1 group" if search.group_count == 1 else f"{search.group_count:,} groups"
    return f"Threshold {search.threshold:.2f} ({groups}{_STALE if search.stale else ''})"


def _link_to_search(sentence: str) -> None:
    st.caption(sentence)
    if st.button(
        "Find near-duplicates", key="recipe_find_near", type="tertiary", icon=":material/arrow_forward:",
        help="Opens the tab Near-duplicates of the Explore page.",
    ):  # fmt: skip
        st.switch_page("pages/explore_page.py", query_params={"view": "Near-duplicates"})


def _chips(carried: RowFilter) -> None:
    """A removable chip for each condition without a control."""
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
    """Put the first range on the score and on the length into their fields, and all others into the chips."""
    state, others = st.session_state, list(ranges)
    shown = {
        column: next((each for each in others if each.column == column), None) for column in (score, "token_count")
    }
    for bounds in filter(None, shown.values()):
        others.remove(bounds)
    of_score, of_length = (bounds or Range(column) for column, bounds in shown.items())
    state[_RANGE_OF], state["recipe_low"], state["recipe_high"] = score, of_score.low, of_score.high
    # Lengths are integers, so a brush that starts at 9.3 becomes 10.
    state["recipe_short"] = None if of_length.low is None else max(0, math.ceil(of_length.low))
    state["recipe_long"] = None if of_length.high is None else max(0, math.floor(of_length.high))
    carried: RowFilter = state.get(_CARRIED, EVERYTHING)
    _carry(replace(carried, ranges=tuple(others)))


def _follow_score(score: str) -> None:
    """When the ranking score changes, turn the range on the previous score into a chip: its limits do not apply to the
    new score."""
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
