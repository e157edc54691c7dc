"""One group of near-duplicates: the row that would be selected, and the others with their differences marked."""

import html
import math
from typing import Any

import streamlit as st

from core.data.errors import NotFound
from core.data.examples import Example
from core.data.scores import Score, score_named
from core.exploring.near_duplicate_groups import group_members, similarities
from core.exploring.text_differences import Piece, differences
from core.store import Store
from ui.kit.widgets import ROLE_LABELS, show_error

_OTHERS_A_PAGE = 4
_ACROSS = 2  # columns of other rows
_LONGEST_SHOWN = 20_000  # characters of one piece of text


def show_group(store: Store, table: str, set_id: int, score: Score, number: int) -> None:
    """A group's members, best first; the best stays on the left, the others are paged."""
    where = (store, table, set_id, number, score.name)
    try:
        (kept,), total = group_members(*where, limit=1)
    except NotFound as error:
        show_error(error)
        return
    st.markdown(f"#### Group {number:,}")
    st.caption(
        f"{total:,} unique conversations. Ranked by highest {in_sentence(score)}, a selection takes the row on the "
        "left. In the others, underlined text is new and struck-through text is only in the left row."
    )
    across = min(_ACROSS, total - 1)
    left, right = st.columns([1, across], gap="medium") if across else (st.container(), st.container())
    with left:
        _show_member(kept, score, "Would be selected", None)
    pages = math.ceil((total - 1) / _OTHERS_A_PAGE)
    with right:
        above = st.container()
        page = st.pagination(pages, key=f"near_others_{set_id}_{number}") if pages > 1 else 1
        others, _ = group_members(*where, limit=_OTHERS_A_PAGE, offset=1 + (page - 1) * _OTHERS_A_PAGE)
        with above:
            _show_others(kept["example"], others, score, across)


def in_sentence(score: Score) -> str:
    """A score's label inside a sentence."""
    return score.label if score.label[:2].isupper() else score.label[:1].lower() + score.label[1:]


def _show_others(kept: Example, others: list[dict[str, Any]], score: Score, across: int) -> None:
    similarity = similarities(kept, [member["example"] for member in others])
    for start in range(0, len(others), max(1, across)):
        places = range(start, min(start + across, len(others)))
        for column, place in zip(st.columns(across, gap="medium"), places, strict=False):
            with column:
                _show_member(others[place], score, f"Similarity {similarity[place]:.2f}", kept)


def _show_member(member: dict[str, Any], score: Score, title: str, kept: Example | None) -> None:
    """One conversation with its losses. With `kept`, differences from it are marked."""
    copies = f", {member['copies']:,} exact copies" if member["copies"] > 1 else ""
    values = {score.name: member["score"], **{name: member[name] for name in ("base_loss", "reference_loss")}}
    numbers = ", ".join(
        f"{score_named(name).label} {'none' if value is None else f'{value:.3f}'}" for name, value in values.items()
    )
    place = f"Row {member['row_number']:,}{copies}, domain {member['domain']}, {member['token_count']:,} scored tokens"
    st.markdown(f"**{title}**")
    st.text(f"{place}\n{numbers}")
    example = member["example"]
    comparable = kept is not None and _roles(kept) == _roles(example)
    for number, message in enumerate(example.messages):
        pieces = differences(kept.messages[number].text, message.text) if kept and comparable else None
        if kept is not None and pieces is None:
            st.caption("Differences are not marked: the text is too long or the turns differ.")
        _show_turn(message.role, pieces or [("same", message.text)])


def _roles(example: Example) -> list[str]:
    return [message.role for message in example.messages]


def _show_turn(role: str, pieces: list[Piece]) -> None:
    """A turn in a box; its text is shown verbatim."""
    st.caption(ROLE_LABELS.get(role, "Other"))
    marked = "".join(f"<{_TAGS[kind]}>{html.escape(text[:_LONGEST_SHOWN])}</{_TAGS[kind]}>" for kind, text in pieces)
    st.html(f'<style>{_STYLE}</style><div class="lobass-turn">{marked}</div>')
    if any(len(text) > _LONGEST_SHOWN for _, text in pieces):
        st.caption(f"First {_LONGEST_SHOWN:,} characters. Open the row below to read all of it.")


_TAGS = {"same": "span", "added": "ins", "removed": "del"}
_STYLE = (
    ".lobass-turn { white-space: pre-wrap; overflow-wrap: anywhere; overflow-y: auto; max-height: 280px; "
    "font-family: monospace; font-size: 0.875rem; line-height: 1.6; padding: 0.6rem 0.8rem; "
    "background: rgba(128, 128, 128, 0.08); border-radius: 0.5rem; } "
    ".lobass-turn ins { text-decoration: underline; background: rgba(0, 114, 178, 0.25); } "
    ".lobass-turn del { background: rgba(213, 94, 0, 0.25); }"
)
