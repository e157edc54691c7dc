"""The filter controls: what is put into them is what they show, and what is read from them."""

import pytest
from streamlit.testing.v1 import AppTest

from core.data.filters import EVERYTHING, Range, RowFilter
from core.data.text_search import TextSearch

SCORE = "learnability"


def page() -> None:
    import streamlit as st

    from ui.kit.filter_controls import FilterControls

    controls = FilterControls("here", {"persist_state": "session"})
    if "given" in st.session_state:
        controls.put(st.session_state.pop("given"), "learnability")
    controls.domains(*st.columns(1), known=["chat", "math"])
    controls.words(*st.columns(1))
    controls.search_options(*st.columns(2))
    controls.excluded_flags(*st.columns(1))
    controls.required_flags(*st.columns(1))
    controls.score_limits(*st.columns(2), "learnability", "")
    controls.length_limits(*st.columns(2))
    st.session_state["found"] = controls.read("learnability")


def read_back(row_filter: RowFilter) -> RowFilter:
    app = AppTest.from_function(page, default_timeout=60)
    app.session_state["given"] = row_filter
    found: RowFilter = app.run().session_state["found"]
    assert not app.exception
    assert app.run().session_state["found"] == found
    return found


@pytest.mark.parametrize(
    "row_filter",
    [
        EVERYTHING,
        RowFilter(("math",)),
        RowFilter(ranges=(Range(SCORE, 0.25, None), Range("token_count", None, 40))),
        RowFilter(
            ("chat", "math"),
            (Range(SCORE, -0.5, 0.5), Range("token_count", 3, 9)),
            ("truncated",),
            ("duplicate",),
            TextSearch("red planet", "phrase", "prompt"),
        ),
    ],
)
def test_a_filter_that_is_put_into_the_controls_is_read_from_them(row_filter: RowFilter) -> None:
    assert read_back(row_filter) == row_filter


def test_limits_of_the_length_that_a_brush_set_are_whole_numbers_that_pass_the_same_rows() -> None:
    assert read_back(RowFilter(ranges=(Range("token_count", 9.3, 20.7),))).ranges == (Range("token_count", 10, 20),)


def test_conditions_without_a_control_are_not_read() -> None:
    assert read_back(RowFilter(ranges=(Range("base_loss", 1.0, 2.0),))) == EVERYTHING
