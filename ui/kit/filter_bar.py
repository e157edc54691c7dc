"""The filter bar of the Explore page: its controls, and a chip for every condition."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from core.data.filters import EVERYTHING, Range, RowFilter
from core.data.scores import FLAGS, SCORES, Score
from core.data.text_search import SEARCH_KINDS, SEARCH_PLACES, TextSearch
from ui.kit.filter_state import current_filter, set_filter
from ui.plain_text import escaped

KIND_LABELS = {"words": "All words", "phrase": "Exact phrase", "regex": "Regular expression"}
KIND_HELP = "  \n".join(f"{KIND_LABELS[name]}: {meaning}." for name, meaning in SEARCH_KINDS.items())
FLAG_HELP = "  \n".join(f"`{flag}`: {meaning}" for flag, meaning in FLAGS.items())
_LONGEST_CHIP = 60


def show_filter_bar(row_filter: RowFilter, domains: list[str], score: Score) -> None:
    """Draw the controls showing the filter; a change sets the filter before the page reruns."""
    _fill_controls(row_filter, domains, score)

    def changed() -> None:
        set_filter(_read_controls(current_filter(), score))

    react: Any = {"on_change": changed}
    anything: Any = {"placeholder": "Any", **react}
    domain, words, kind, place, more = st.columns([3, 3, 2, 2, 2], vertical_alignment="bottom")
    domain.multiselect("Domains", domains, key="filter_domains", help="Show only rows of these domains.", **anything)
    words.text_input("Search", key="filter_query", help="Searches the text of every row. Case is ignored.", **anything)
    kind.selectbox(
        "Match",
        list(SEARCH_KINDS),
        format_func=KIND_LABELS.__getitem__,
        key="filter_kind",
        help=KIND_HELP,
        **react,
    )
    place.selectbox(
        "In", list(SEARCH_PLACES), format_func=lambda name: SEARCH_PLACES[name].capitalize(), key="filter_place",
        help="Where the search looks.", **react,
    )  # fmt: skip
    with more.popover("More filters", key="more", width="stretch"):
        _more_controls(score, anything)


def _more_controls(score: Score, anything: dict[str, Any]) -> None:
    st.multiselect("Exclude flags", list(FLAGS), key="filter_without", help=FLAG_HELP, **anything)
    st.multiselect("Require flags", list(FLAGS), key="filter_with", help=FLAG_HELP, **anything)
    low, high = st.columns(2)
    reads = f"{score.label}: {score.formula}. High: {score.higher_means}. Dragging on the histogram sets both limits."
    low.number_input(f"{score.label} from", format="%.4g", step=0.01, key="filter_low", help=reads, **anything)
    high.number_input(f"{score.label} to", format="%.4g", step=0.01, key="filter_high", help=reads, **anything)
    tokens = "Scored tokens of the response."
    low.number_input("Tokens from", min_value=0, step=1, key="filter_short", help=tokens, **anything)
    high.number_input("Tokens to", min_value=0, step=1, key="filter_long", help=tokens, **anything)


def show_chips(row_filter: RowFilter) -> None:
    """A button that removes each condition, and one that removes all."""
    if show_chip_buttons(row_filter, "chip", set_filter) > 1:
        st.button("Clear all", key="clear_filters", type="tertiary", on_click=set_filter, args=(EVERYTHING,))


def show_no_rows(row_filter: RowFilter, removable: bool = False) -> None:
    """Shown instead of rows if there are none. `removable` adds a button that removes all filters."""
    if not row_filter.conditions():
        st.info("This run has no rows. Import rows into its dataset and score it again.")
        return
    st.info("No row passes these filters. Remove a filter above.")
    if removable:
        st.button("Remove all filters", key="remove_filters", on_click=set_filter, args=(EVERYTHING,))


def show_chip_buttons(row_filter: RowFilter, key: str, put: Callable[[RowFilter], None]) -> int:
    """A button for each condition; pressing it calls `put` with the remaining filter. Returns the number of buttons."""
    chips = filter_chips(row_filter)
    for number, (label, without) in enumerate(chips):
        st.button(
            escaped(label), key=f"{key}_{number}", icon=":material/close:", help="Remove this filter.",
            on_click=put, args=(without,),
        )  # fmt: skip
    return len(chips)


def filter_chips(row_filter: RowFilter) -> list[tuple[str, RowFilter]]:
    """Every condition as text, with the filter that remains without it."""
    found = [
        (domain, replace(row_filter, domains=tuple(other for other in row_filter.domains if other != domain)))
        for domain in row_filter.domains
    ]
    found += [
        (
            _range_text(bounds),
            replace(row_filter, ranges=tuple(other for other in row_filter.ranges if other != bounds)),
        )
        for bounds in row_filter.ranges
    ]
    found += [
        (
            f"Lasso over {_label(area.x).lower()} and {_label(area.y).lower()}",
            replace(row_filter, regions=tuple(other for other in row_filter.regions if other != area)),
        )
        for area in row_filter.regions
    ]
    found += [
        (f"Exclude {flag}", replace(row_filter, without_flags=tuple(f for f in row_filter.without_flags if f != flag)))
        for flag in row_filter.without_flags
    ]
    found += [
        (f"Require {flag}", replace(row_filter, with_flags=tuple(f for f in row_filter.with_flags if f != flag)))
        for flag in row_filter.with_flags
    ]
    if search := row_filter.search:
        place = "" if search.place == "either" else f" in the {SEARCH_PLACES[search.place]}"
        found.append((f"{KIND_LABELS[search.kind]}: {search.query}{place}", replace(row_filter, search=TextSearch())))
    return [(_shortened(label), without) for label, without in found]


def _range_text(bounds: Range) -> str:
    label = _label(bounds.column)
    if bounds.low is None or bounds.high is None:
        word, end = ("from", bounds.low) if bounds.high is None else ("to", bounds.high)
        return f"{label} {word} {end:,.4g}"
    return f"{label} {bounds.low:,.4g} to {bounds.high:,.4g}"


def _label(column: str) -> str:
    return "Tokens" if column == "token_count" else SCORES[column].label


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_CHIP else f"{text[: _LONGEST_CHIP - 1]}…"


def _fill_controls(row_filter: RowFilter, domains: list[str], score: Score) -> None:
    of_score, of_length = row_filter.range_on(score.name), row_filter.range_on("token_count")
    state = st.session_state
    state["filter_domains"] = [domain for domain in row_filter.domains if domain in domains]
    state["filter_query"] = row_filter.search.query
    state["filter_kind"] = row_filter.search.kind if row_filter.search else state.get("filter_kind", "words")
    state["filter_place"] = row_filter.search.place if row_filter.search else state.get("filter_place", "either")
    state["filter_without"], state["filter_with"] = list(row_filter.without_flags), list(row_filter.with_flags)
    state["filter_low"], state["filter_high"] = of_score.low, of_score.high
    for key, bound in (("filter_short", of_length.low), ("filter_long", of_length.high)):
        state[key] = None if bound is None else max(0, round(bound))


def _read_controls(before: RowFilter, score: Score) -> RowFilter:
    """The filter from the controls; conditions without a control (lassos, ranges on other scores) are unchanged."""
    state = st.session_state
    after = replace(
        before,
        domains=tuple(state["filter_domains"]),
        without_flags=tuple(state["filter_without"]),
        with_flags=tuple(state["filter_with"]),
        search=TextSearch(state["filter_query"] or "", state["filter_kind"], state["filter_place"]),
    )
    if not after.search:
        after = replace(after, search=TextSearch())
    after = after.with_range(score.name, state["filter_low"], state["filter_high"])
    return after.with_range("token_count", state["filter_short"], state["filter_long"])
