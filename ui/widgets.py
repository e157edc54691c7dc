"""Widgets that pages share; text from data goes only through elements that show it as it is, never as markdown."""

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from core.errors import CurationError
from core.scores import FLAGS, SCORES
from ui.session import Session

ROLE_LABELS = {
    "system": "System",
    "user": "User",
    "context": "Input (context of the user's turn)",
    "assistant": "Assistant (scored)",
    "tool": "Tool",
}
_TALL_TEXT = 1_500  # characters; a longer turn scrolls in a box of its own
_MARKDOWN = "\\`*_{}[]()<>#+-.!|~$:&"


def escaped(text: str) -> str:
    """Text that markdown shows as it is: no link, image, formula or colour comes of it."""
    return "".join(f"\\{character}" if character in _MARKDOWN else character for character in text)


def show_error(error: CurationError) -> None:
    """An error's sentence, in place."""
    st.error(escaped(str(error)))


def link_to_page(page: str, label: str) -> None:
    """Link to `pages/<page>_page.py`; only its name where this page was opened without the app's navigation."""
    try:
        st.page_link(f"pages/{page}_page.py", label=label)
    except StreamlitAPIException:
        st.text(f"{label}: open the {page.capitalize()} page.")


def run_picker(session: Session) -> str | None:
    """The run to look at, newest first, kept in the `run` query parameter and across pages.

    Where there is none it says what to do next and returns None.
    """
    names = [
        str(name)
        for (name,) in session.store.rows("SELECT name FROM run ORDER BY created_at DESC, run_id DESC")
    ]  # fmt: skip
    if not names:
        _no_run(session)
        return None
    asked = st.query_params.get("run")
    if asked is not None and asked not in names:
        st.warning(escaped(f"No run is named '{asked}'. Showing the newest; choose another below."))
    # A bound widget drops its default from the address, so the run has none: the address always names the run.
    if st.session_state.get("run") not in names and asked not in names:
        remembered = st.session_state.get("chosen_run")
        st.session_state["run"] = remembered if remembered in names else names[0]
    name = st.selectbox(
        "Run", names, index=None, required=True, key="run", bind="query-params", help="A dataset with its two losses"
    )
    st.session_state["chosen_run"] = name
    return None if name is None else str(name)


def _no_run(session: Session) -> None:
    datasets = session.store.rows("SELECT count(*) FROM dataset")[0][0]
    if datasets:
        st.info("Nothing has been scored yet. Choose a base model and a reference, and score a dataset.")
        link_to_page("score", "Score a dataset")
    else:
        st.info("There is no data yet. Import a dataset first, then score it with a base model and a reference.")
        link_to_page("data", "Import a dataset")


def example_card(found: dict[str, Any]) -> None:
    """One example as `core.browsing.example` gives it: its turns beside its losses, scores, flags and place."""
    with st.container(border=True):
        turns, numbers = st.columns([3, 2], gap="medium")
        with turns:
            _conversation(found)
        with numbers:
            _numbers(found)


def _conversation(found: dict[str, Any]) -> None:
    for message in found["example"].messages:
        st.caption(ROLE_LABELS.get(message.role, "Other"))
        st.code(
            message.content,
            language=None,
            wrap_lines=True,
            height=320 if len(message.content) > _TALL_TEXT else "content",
        )
    if found["example"].tools:
        with st.expander("Tools offered to the model"):
            st.code(found["example"].tools, language=None, wrap_lines=True)


def _numbers(found: dict[str, Any]) -> None:
    st.text(f"Row {found['row_number']:,}, domain {found['domain']}")
    st.text(f"{found['source']}, line {found['line']:,}; {found['token_count']:,} scored tokens")
    lines = [(score.label, found["scores"][name], score.unit) for name, score in SCORES.items()]
    lines += [
        ("Base NLL sum", found["base_nll_sum"], "nats per response"),
        ("Reference NLL sum", found["reference_nll_sum"], "nats per response"),
        ("Noise floor", found["noise_floor"], "nats per token"),
    ]
    table = pd.DataFrame(
        [(label, "none" if value is None else f"{value:,.4g}", unit) for label, value, unit in lines],
        columns=["Measure", "Value", "Unit"],
    )
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={"Value": st.column_config.TextColumn(alignment="right")},
    )
    for flag in found["flags"]:
        st.text(f"{flag}: {FLAGS[flag]}")
    if found["reason"]:
        st.text(f"Why there is no score: {found['reason']}")
    if found["duplicate_count"]:
        shown = ", ".join(f"{number:,}" for number in found["duplicates"])
        more = ", ..." if found["duplicate_count"] > len(found["duplicates"]) else ""
        st.text(f"The same conversation stands in {found['duplicate_count']:,} more rows: {shown}{more}")
    st.text(f"example_id {found['example_id']}")
