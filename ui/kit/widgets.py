"""Widgets that pages share. Text from data is shown verbatim, never as markdown."""

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitAPIException

from core.data.errors import SelectionInvalid, UserError
from core.data.examples import Example
from core.data.json_types import shown
from core.data.loss_roles import missing_roles_sentence
from core.data.scores import FLAGS, Score, is_score, score_named, scores_of
from core.exploring.unscored import partial_runs
from ui.plain_text import escaped
from ui.shell.session import Session, remember, remembered

ROLE_LABELS = {
    "system": "System",
    "user": "User",
    "context": "Input (context of the user's turn)",
    "assistant": "Assistant (scored)",
    "tool": "Tool",
}
_NUMBER = re.compile(r"[0-9]{1,15}(\.0)?")
_IN_LINE_WIDTH = 240  # pixels
_TALL_TEXT = 1_500  # characters; a longer turn gets a scrolling box


def show_error(error: UserError) -> None:
    """Show an error's message."""
    st.error(escaped(str(error)))


def change_or_show_error(change: Callable[[], object]) -> None:
    """Make a change and rerun the page, or show why it cannot be made."""
    try:
        change()
    except UserError as error:
        show_error(error)
    else:
        st.rerun()


def link_to_page(page: str, label: str, query: dict[str, str] | None = None) -> None:
    """Link to `pages/<page>_page.py`, with these query parameters; plain text if this page was opened without the app's
    navigation."""
    try:
        st.page_link(f"pages/{page}_page.py", label=label, icon=":material/arrow_forward:", query_params=query)
    except StreamlitAPIException:
        st.text(f"{label}: open the {page.capitalize()} page.")


def go_to_page(page: str) -> None:
    """Open `pages/<page>_page.py`; draws this page again if it was opened without the app's navigation."""
    try:
        st.switch_page(f"pages/{page}_page.py")
    except StreamlitAPIException:
        st.rerun()


def run_picker(session: Session, place: DeltaGenerator | None = None) -> str | None:
    """The chosen run (newest first), kept in the `run` query parameter and across pages.

    With `place` the picker stands there, without a visible label. If there is no run, shows what to do next and
    returns None.
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
        st.warning(escaped(f"There is no run named '{asked}'. Showing another run; choose one with the picker."))
    meaning, partial = "A dataset scored with one base and one reference model.", partial_runs(session.store)

    def label(name: str) -> str:
        return f"{name} ({partial[name]})" if name in partial else name

    if place is None:
        return linked_selectbox("Run", names, "run", label, meaning)
    with place:
        return linked_selectbox("Run", names, "run", lambda name: f"Run {label(name)}", meaning, in_line=True)


def score_picker(roles: Collection[str]) -> Score:
    """The chosen score of those that the roles of a run's losses allow, kept in the `score` query parameter and across
    pages. A link to another score says which losses are missing."""
    names = scores_of(roles)
    if not names:
        raise SelectionInvalid("No score can be compared in these runs: they share no losses. Choose other runs.")
    meanings = "  \n".join(f"{each.label}, high: {each.higher_means}." for each in map(score_named, names))
    given = st.query_params.get("score", "")
    asked = score_named(given) if is_score(given) else None
    if given and not asked:
        ignored_in_link("score", given)
    missing = asked and missing_roles_sentence(asked.label, asked.roles, roles)
    chosen = score_named(linked_selectbox("Score", names, "score", lambda name: score_named(name).label, meanings))
    if missing:
        st.warning(escaped(f"{missing}. Showing {chosen.label} instead."))
    return chosen


def open_linked_tab(key: str, labels: Collection[str], renamed: Mapping[str, str] = MappingProxyType({})) -> None:
    """Let a link with a tab's earlier label (`renamed`: earlier to present) open that tab. Call it before `st.tabs`.

    Tabs that are bound to the URL are found by their labels, and Streamlit opens the first for a label it lacks.
    """
    asked = st.query_params.get(key, "")
    present = renamed.get(asked)
    if asked and not present and asked not in labels:
        ignored_in_link(key, asked)
    if present and key not in st.session_state:
        st.session_state[key] = present


def linked_selectbox(
    label: str,
    options: list[str],
    parameter: str,
    label_of: Callable[[str], str] = str,
    help: str | None = None,
    in_line: bool = False,
) -> str:
    """A select box whose choice is always in the URL and kept across pages. `in_line`: narrow, its label not visible.

    Streamlit's bound widgets omit their default from the URL and use labels, so a link would change its meaning when
    a newer run is added or a label is reworded.
    """
    asked = st.query_params.get(parameter)
    first = next(option for option in (asked, remembered(parameter), options[0]) if option in options)
    key = f"{parameter}_picker"
    visibility: Literal["visible", "collapsed"] = "collapsed" if in_line else "visible"
    width: int | Literal["stretch"] = _IN_LINE_WIDTH if in_line else "stretch"
    picked = st.selectbox(
        label, options, options.index(first), format_func=label_of, key=key, help=help, label_visibility=visibility,
        width=width,
    )  # fmt: skip
    chosen = str(picked)
    remember(parameter, chosen)
    if asked != chosen:
        st.query_params[parameter] = chosen
    return chosen


def linked_number(label: str, parameter: str, help: str) -> None:
    """A field for a row's or group's number, bound to the URL under `parameter`, which is also its key."""
    asked = st.query_params.get(parameter)
    is_usable = asked is None or bool(_NUMBER.fullmatch(asked))
    if not is_usable:
        del st.query_params[parameter]
        ignored_in_link(parameter, str(asked))
    # Streamlit fails on a bound field whose parameter is 1e400; from the next run on it is bound.
    bind: Literal["query-params"] | None = "query-params" if is_usable else None
    st.number_input(label, min_value=1, value=None, step=1, key=parameter, bind=bind, width=160, help=help)


def ignored_in_link(parameter: str, asked: str) -> None:
    """Say that a parameter of the URL has a value that means nothing here."""
    st.warning(escaped(f"The {parameter} {shown(asked)} in this URL means nothing here and was ignored."))


def _no_run(session: Session) -> None:
    datasets = session.store.rows("SELECT count(*) FROM dataset")[0][0]
    if datasets:
        st.info("No dataset is scored yet. Choose a base model and a reference model, and score a dataset.")
        link_to_page("score", "Score a dataset")
    else:
        st.info("No data yet. Import a dataset first, then score it with a base model and a reference model.")
        link_to_page("data", "Import a dataset")


def example_card(found: dict[str, Any]) -> None:
    """One row from `core.exploring.browsing.example`: its turns, losses, scores, flags and source."""
    with st.container(border=True):
        turns, numbers = st.columns([3, 2], gap="medium")
        with turns:
            conversation(found["example"])
        with numbers:
            row_numbers_card(found)


def conversation(example: Example, height: int | None = None) -> None:
    """A conversation's turns as plain text. With `height` [pixels], longer turns scroll in a box of that size."""
    for message in example.messages:
        text = message.text
        st.caption(ROLE_LABELS.get(message.role, "Other") + (" (context, not scored)" if message.is_context else ""))
        tall: int | Literal["content"] = 320 if len(text) > _TALL_TEXT else "content"
        fits = len(text) < 400 and text.count("\n") < 5
        box = height if height and not fits else tall
        st.code(text, language=None, wrap_lines=True, height=box)
    if example.tools:
        with st.expander("Tools"):
            st.code(example.tools, language=None, wrap_lines=True)


def row_numbers_card(found: dict[str, Any]) -> None:
    """The numbers, flags and source of one row from `core.exploring.browsing.example`."""
    st.text(f"Row {found['row_number']:,}, domain {found['domain']}")
    st.text(f"{found['source']}, line {found['line']:,}; {found['token_count']:,} scored tokens")
    scores = [(name, score_named(name)) for name in found["scores"]]
    lines = [(score.label, found["scores"][name], score.unit) for name, score in scores]
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
        st.text(f"No score: {found['reason']}")
    if duplicates := duplicates_text(found):
        st.text(duplicates)
    st.text(f"example_id {found['example_id']}")


def duplicates_text(found: dict[str, Any]) -> str:
    """The other rows with the conversation of a row (`core.exploring`); "" if there are none."""
    if not found["duplicate_count"]:
        return ""
    shown = ", ".join(f"{number:,}" for number in found["duplicates"])
    more = ", ..." if found["duplicate_count"] > len(found["duplicates"]) else ""
    return f"Exact duplicates: {found['duplicate_count']:,} other rows ({shown}{more})"
