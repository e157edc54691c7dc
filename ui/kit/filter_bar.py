"""The filter bar of the Curate page: its controls, and a chip for every condition."""

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from core.data.filters import EVERYTHING, Range, Region, RowFilter
from core.data.map_columns import map_of
from core.data.scores import Score, score_named
from core.data.text_search import SEARCH_PLACES, TextSearch
from ui.kit.filter_controls import KIND_LABELS, FilterControls
from ui.kit.filter_state import current_filter, refusal_shown_next, set_filter
from ui.plain_text import escaped

_LONGEST_CHIP = 60
_MOST_DOMAIN_CHIPS = 12
"""More domains are one chip, which removes them all; each can be removed in the control."""


def show_filter_bar(row_filter: RowFilter, domains: list[str], score: Score) -> None:
    """Draw the controls showing the filter; a change sets the filter before the page reruns."""

    def changed() -> None:
        after = _changed_filter(current_filter(), controls.read(score.name), score.name)
        with refusal_shown_next():
            set_filter(replace(after, domains=() if set(after.domains) >= set(domains) else after.domains))

    controls = FilterControls("filter", {"on_change": changed, "persist_state": "session"})
    in_run = set(domains)
    known = tuple(domain for domain in row_filter.domains if domain in in_run)
    controls.put(replace(row_filter, domains=known), score.name)
    domain, words, more = st.columns([3, 3, 2], vertical_alignment="bottom")
    controls.domains(domain, domains)
    controls.words(words)
    popover = more.popover("More filters", key="more", width="stretch", on_change="rerun")
    if popover.open:  # a closed one sends no controls
        controls.search_options(*popover.columns(2))
        controls.excluded_flags(popover)
        controls.required_flags(popover)
        low, high = popover.columns(2)
        controls.score_limits(low, high, score.name, "Dragging on the histogram sets both limits.")
        controls.length_limits(low, high)


def _changed_filter(before: RowFilter, shown: RowFilter, score: str) -> RowFilter:
    """The filter from the controls; conditions without a control (lassos, ranges on other scores) are unchanged."""
    after = replace(shown, ranges=before.ranges, regions=before.regions)
    for column in (score, "token_count"):
        bounds = shown.range_on(column)
        after = after.with_range(column, bounds.low, bounds.high)
    return after


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
    if len(found) > _MOST_DOMAIN_CHIPS:
        found = [(f"{len(found):,} domains", replace(row_filter, domains=()))]
    found += [
        (
            _range_text(bounds),
            replace(row_filter, ranges=tuple(other for other in row_filter.ranges if other != bounds)),
        )
        for bounds in row_filter.ranges
    ]
    found += [
        (
            _region_text(area),
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


def _region_text(area: Region) -> str:
    return "Lasso on the map" if map_of(area.x) else f"Lasso over {_label(area.x).lower()} and {_label(area.y).lower()}"


def _label(column: str) -> str:
    if map_of(column):
        return f"Map {column[-1]}"
    return "Tokens" if column == "token_count" else score_named(column).label


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_CHIP else f"{text[: _LONGEST_CHIP - 1]}…"
