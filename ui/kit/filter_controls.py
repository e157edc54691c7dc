"""The controls of a row filter: domains, flags, limits and a text search, for every page that filters rows.

Their values are in the session state, under keys that start with the page's prefix.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.filters import LIMITS, Range, RowFilter
from core.data.scores import FLAGS, score_named
from core.data.text_search import ANY_TEXT, SEARCH_KINDS, SEARCH_PLACES, TextSearch

KIND_LABELS = {"words": "All words", "phrase": "Exact phrase", "regex": "Regular expression"}
KIND_HELP = "  \n".join(f"{KIND_LABELS[name]}: {meaning}." for name, meaning in SEARCH_KINDS.items())
FLAG_HELP = "  \n".join(f"`{flag}`: {meaning}" for flag, meaning in FLAGS.items())
_ANY = "Any"


@dataclass(frozen=True, slots=True)
class FilterControls:
    """One page's controls. `prefix`: the start of their keys. `options`: arguments for every widget, such as
    `on_change`."""

    prefix: str
    options: Mapping[str, Any]

    def key(self, name: str) -> str:
        """Key of a control's value in the session."""
        return f"{self.prefix}_{name}"

    def domains(self, place: DeltaGenerator, known: Iterable[str]) -> list[str]:
        """Draw the control for domains; returns the chosen ones."""
        return place.multiselect(
            "Domains", list(known), key=self.key("domains"), placeholder=_ANY,
            help="Only rows of these domains. If empty: all domains.", **self.options,
        )  # fmt: skip

    def excluded_flags(self, place: DeltaGenerator) -> None:
        """Draw the control for excluded flags."""
        place.multiselect(
            "Exclude flags", list(FLAGS), key=self.key("without"), placeholder="None", help=FLAG_HELP, **self.options
        )

    def required_flags(self, place: DeltaGenerator) -> None:
        """Draw the control for required flags."""
        place.multiselect(
            "Require flags", list(FLAGS), key=self.key("with"), placeholder=_ANY, help=FLAG_HELP, **self.options
        )

    def score_limits(self, low: DeltaGenerator, high: DeltaGenerator, score: str, note: str) -> None:
        """Draw the limits of a score. `note` is the last sentence of their help."""
        chosen = score_named(score)
        of_score: dict[str, Any] = {"value": None, "step": 0.01, "format": "%.4g", "placeholder": _ANY, **self.options}
        of_score["help"] = f"{chosen.label}: {chosen.formula}. High: {chosen.higher_means}. {note}"
        low.number_input(f"{chosen.label} from", key=self.key("low"), **of_score)
        high.number_input(f"{chosen.label} to", key=self.key("high"), **of_score)

    def length_limits(self, low: DeltaGenerator, high: DeltaGenerator) -> None:
        """Draw the limits of a row's length [scored tokens]."""
        of_length: dict[str, Any] = {"value": None, "step": 1, "min_value": 0, "placeholder": _ANY, **self.options}
        of_length["help"] = "Scored tokens of the response."
        low.number_input("Tokens from", key=self.key("short"), **of_length)
        high.number_input("Tokens to", key=self.key("long"), **of_length)

    def words(self, place: DeltaGenerator) -> None:
        """Draw the field of the text search."""
        place.text_input(
            "Search", key=self.key("text"), placeholder=_ANY, max_chars=LIMITS["search characters"],
            help="Only rows whose text contains this. Case is ignored.", **self.options,
        )  # fmt: skip

    def search_options(self, kind: DeltaGenerator, place: DeltaGenerator) -> None:
        """Draw how and where the text search looks."""
        st.session_state.setdefault(self.key("search_kind"), "words")
        st.session_state.setdefault(self.key("search_place"), "either")
        kind.selectbox(
            "Match", list(SEARCH_KINDS), format_func=KIND_LABELS.__getitem__, key=self.key("search_kind"),
            help=KIND_HELP, **self.options,
        )  # fmt: skip
        place.selectbox(
            "Search in", list(SEARCH_PLACES), format_func=lambda name: SEARCH_PLACES[name].capitalize(),
            key=self.key("search_place"), help="Where the search looks.", **self.options,
        )  # fmt: skip

    def put(self, row_filter: RowFilter, score: str) -> None:
        """Set the controls to a filter, its first range on `score` and on the length. Call before they are drawn."""
        of_score, of_length = row_filter.range_on(score), row_filter.range_on("token_count")
        values: dict[str, Any] = {
            "domains": list(row_filter.domains),
            "without": list(row_filter.without_flags),
            "with": list(row_filter.with_flags),
            "low": of_score.low,
            "high": of_score.high,
            # Lengths are integers, so a brush that starts at 9.3 becomes 10.
            "short": None if of_length.low is None else max(0, math.ceil(of_length.low)),
            "long": None if of_length.high is None else max(0, math.floor(of_length.high)),
            "text": row_filter.search.query,
        }
        if row_filter.search:
            values |= {"search_kind": row_filter.search.kind, "search_place": row_filter.search.place}
        for name, value in values.items():
            st.session_state[self.key(name)] = value

    def read(self, score: str) -> RowFilter:
        """The filter from the controls, with their limits applied to `score`."""
        search = TextSearch(
            self._value("text") or "", self._value("search_kind") or "words", self._value("search_place") or "either"
        )
        limits = (
            Range(score, self._value("low"), self._value("high")),
            Range("token_count", self._value("short"), self._value("long")),
        )
        return RowFilter(
            tuple(self._value("domains") or ()),
            tuple(limit for limit in limits if limit.low is not None or limit.high is not None),
            tuple(self._value("without") or ()),
            tuple(self._value("with") or ()),
            search or ANY_TEXT,
        )

    def _value(self, name: str) -> Any:
        return st.session_state.get(self.key(name))
