"""The filter controls of a recipe: filters and duplicate removal; the page's own filter can be put into them.

Conditions without a control (lassos, ranges on other scores, required flags) are shown as chips below.
"""

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from core.data.errors import UserError
from core.data.filters import EVERYTHING, RowFilter
from core.data.listing import listed
from core.data.scores import DEFAULT_SCORE, score_named
from core.selection import ScoredRun
from core.selection.near_search import run_searches
from core.selection.recipe import BY_EMBEDDINGS, BY_TEXT
from core.store import Store
from core.store.near_duplicates import NearDuplicateSet
from ui.kit.closed_parts import show_when_open
from ui.kit.draft_state import form_was_set
from ui.kit.filter_bar import filter_chips, show_chip_buttons
from ui.kit.filter_controls import FilterControls
from ui.plain_text import escaped

_KEEP: Any = {"persist_state": "session"}
_CONTROLS = FilterControls("recipe", _KEEP)
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
    near_duplicates_by: str = BY_TEXT


def eligible_form(store: Store, run: ScoredRun, score: str) -> Eligible:
    """Draw the controls. `score` is the score that the recipe ranks by."""
    note = st.session_state.pop(_NOTE, None)
    _follow_score(score)
    st.session_state.setdefault("recipe_collapse", True)
    st.session_state.setdefault("recipe_near", _NO_SEARCH)
    show_when_open(
        "Guards", "guards", lambda: _draw_guards(store, run, score), f"{_set_filters(score)}, {_removed_duplicates()}"
    )
    chips = st.container(gap="small")
    with chips:
        if note:
            st.info(note)
        row_filter = _shown_filter(score)
        _chips(row_filter, st.session_state.get(_CARRIED, EVERYTHING))
        if row_filter != EVERYTHING:
            st.button(
                "Clear all", key="recipe_clear", type="tertiary", on_click=_put_filter, args=(EVERYTHING, score),
                help="Removes all filters of the selection. The duplicate settings do not change.",
            )  # fmt: skip
    collapse = bool(st.session_state["recipe_collapse"])
    asked = float(st.session_state["recipe_near"])
    near = (abs(asked) or None) if collapse else None
    return Eligible(row_filter, collapse, near, BY_EMBEDDINGS if asked < 0 else BY_TEXT)


def put_eligible(eligible: Eligible, score: str) -> None:
    """Set the controls to a recipe's values; `score` is the one it ranks by. Call before they are drawn."""
    st.session_state["recipe_collapse"] = eligible.collapse_duplicates
    st.session_state["recipe_near"] = _option(eligible.near_duplicates, eligible.near_duplicates_by)
    _put_filter(eligible.row_filter, score)


def put_filter_into_form(row_filter: RowFilter, score: str) -> None:
    """Set the controls to the filter of charts that show `score`. Call in a button's callback.

    The ranking does not change: a user may filter by base loss and rank by learnability.
    """
    ranked_by = str(st.session_state.get("recipe_score", DEFAULT_SCORE))
    _put_filter(row_filter, ranked_by)
    form_was_set()
    note = "The page's filters apply to the selection."
    if score != ranked_by:
        labels = [score_named(name).label for name in (ranked_by, score)]
        note += f" Rows are still ranked by {labels[0]}, not by {labels[1]} as in the charts."
    st.session_state[_NOTE] = note


def _draw_guards(store: Store, run: ScoredRun, score: str) -> None:
    _domains_and_flags(run)
    _CONTROLS.score_limits(*st.columns(2), score, "Rows without this score are always excluded.")
    _CONTROLS.length_limits(*st.columns(2))
    _CONTROLS.words(st.container())
    _CONTROLS.search_options(*st.columns(2))
    _draw_duplicates(store, run)


def _set_filters(score: str) -> str:
    """How many filters are set, for the label of the closed guards."""
    try:
        count = len(filter_chips(_shown_filter(score)))
    except UserError:
        return "not valid"
    return f"{count:,} filter{'' if count == 1 else 's'}" if count else "no filter"


def _removed_duplicates() -> str:
    if not st.session_state["recipe_collapse"]:
        return "duplicates kept"
    return "near-duplicates removed" if st.session_state["recipe_near"] else "exact duplicates removed"


def _domains_and_flags(run: ScoredRun) -> None:
    domains, flags = st.columns(2)
    # A filter may name domains of another run; without these options it would change silently.
    known = dict.fromkeys([*run.totals, *st.session_state.get(_CONTROLS.key("domains"), [])])
    if missing := [domain for domain in _CONTROLS.domains(domains, known) if domain not in run.totals]:
        domains.text(f"Not in this run: {listed(missing)}.")
    _CONTROLS.excluded_flags(flags)


def _shown_filter(score: str) -> RowFilter:
    """The filter from the controls and the chips."""
    shown = _CONTROLS.read(score)
    carried: RowFilter = st.session_state.get(_CARRIED, EVERYTHING)
    return replace(
        shown,
        ranges=(*shown.ranges, *carried.ranges),
        regions=carried.regions,
        with_flags=carried.with_flags,
    )


def _option(threshold: float | None, by: str) -> float:
    """A search as an option: its threshold, below 0 for one of embeddings, since a link or draft keeps a number."""
    return (threshold or _NO_SEARCH) * (-1 if by == BY_EMBEDDINGS else 1)


def _draw_duplicates(store: Store, run: ScoredRun) -> None:
    """The settings for exact duplicates, and for near-duplicates if a search exists."""
    exact, near = st.columns(2, vertical_alignment="bottom")
    collapse = exact.checkbox(
        "Remove exact duplicates",
        key="recipe_collapse",
        help="Of identical conversations, only the first that passes the filters can be selected.",
        **_KEEP,
    )
    known = {_NO_SEARCH: "No"} | _searches(store, run)
    asked = float(st.session_state["recipe_near"])
    known.setdefault(asked, f"Threshold {abs(asked):g}: no search in this dataset")
    if len(known) == 1:
        with near:
            _link_to_search("No near-duplicate search yet.")
        return
    threshold = near.selectbox(
        "Remove near-duplicates", list(known), format_func=known.__getitem__, key="recipe_near",
        disabled=not collapse, **_KEEP,
        help="Of each group of near-identical rows, only the row that ranks highest can be selected. The options are "
        "the searches made in the tab Near-duplicates. Exact duplicates must be removed too.",
    )  # fmt: skip
    if _STALE in known[threshold]:
        with near:
            _link_to_search("Rows added after this search are not treated as near-duplicates.")


def _searches(store: Store, run: ScoredRun) -> dict[float, str]:
    """A label for each existing search, by its option."""
    found: dict[float, str] = {}
    for by, searches in run_searches(store, run.name).items():
        label = "Embeddings, cosine" if by == BY_EMBEDDINGS else "Threshold"
        for search in sorted(searches, key=lambda search: search.threshold):
            found[_option(search.threshold, by)] = f"{label} {_search_label(search)}"
    return found


def _search_label(search: NearDuplicateSet) -> str:
    groups = "1 group" if search.group_count == 1 else f"{search.group_count:,} groups"
    return f"{search.threshold:.2f} ({groups}{_STALE if search.stale else ''})"


def _link_to_search(sentence: str) -> None:
    st.caption(sentence)
    st.button(
        "Go to near-duplicates", key="recipe_find_near", type="tertiary", icon=":material/arrow_forward:",
        help="Opens the tab Near-duplicates.", on_click=_open_near_duplicates,
    )  # fmt: skip


def _open_near_duplicates() -> None:
    st.session_state["view"] = "Near-duplicates"


def _chips(row_filter: RowFilter, carried: RowFilter) -> None:
    """What the controls filter, in words, and a removable chip for each condition without a control."""
    ranges = tuple(bounds for bounds in row_filter.ranges if bounds not in carried.ranges)
    shown = [label for label, _ in filter_chips(replace(row_filter, ranges=ranges, regions=(), with_flags=()))]
    if shown:
        st.caption(f"Only rows with: {escaped(', '.join(shown))}.")
    if carried == EVERYTHING:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Also:", width="content")
        show_chip_buttons(carried, "recipe_chip", _carry)


def _carry(row_filter: RowFilter) -> None:
    st.session_state[_CARRIED] = row_filter


def _put_filter(row_filter: RowFilter, score: str) -> None:
    """Set the controls, and put what no control shows into the chips."""
    _CONTROLS.put(replace(row_filter, with_flags=()), score)
    st.session_state[_RANGE_OF] = score
    shown = (row_filter.range_on(score), row_filter.range_on("token_count"))
    others = tuple(bounds for bounds in row_filter.ranges if bounds not in shown)
    _carry(RowFilter(ranges=others, with_flags=row_filter.with_flags, regions=row_filter.regions))


def _follow_score(score: str) -> None:
    """When the ranking score changes, turn the range on the previous score into a chip: its limits do not apply to the
    new score."""
    before = st.session_state.setdefault(_RANGE_OF, score)
    if before != score:
        _put_filter(_shown_filter(before), score)
