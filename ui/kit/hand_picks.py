"""Hand picks: rows that the user always or never selects, by dataset and browser session, and their controls."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from core.data.scores import score_named
from core.selection import Pick, ScoredRun
from core.selection.hand_picks import pick_table
from ui.kit.tables import CLOSE_VALUE, open_by_number, show_selectable
from ui.shell.session import Session, forget, remember, remembered, rerun_page

CHOICES = {True: "Always select", None: "No pick", False: "Never select"}
PICKS_A_PAGE = 50


def picks_of(dataset: str) -> tuple[Pick, ...]:
    """This session's picks for a dataset, in the order they were made."""
    found: dict[str, tuple[Pick, ...]] = remembered("picks", {})
    return found.get(dataset, ())


def has_picks(dataset: str) -> bool:
    """Whether this session has set the picks of a dataset, even to none."""
    return dataset in remembered("picks", {})


def put_picks(dataset: str, picks: Sequence[Pick]) -> None:
    """Replace a dataset's picks, as loading a recipe does. The previous picks can be restored."""
    before = picks_of(dataset)
    if set(before) - set(picks):
        remember("picks_aside", (dataset, before))
    else:
        forget("picks_aside")
    _set_picks(dataset, picks)


def forget_replaced_picks() -> None:
    """Do not offer to restore picks that were replaced: undo does."""
    forget("picks_aside")


def pick_buttons(session: Session, run: str, example_id: str, row_number: int) -> None:
    """The controls of one row's pick, and a note. A pick applies to the conversation, so to its exact copies too."""
    dataset = str(session.store.run(run)["dataset"])
    made = next((pick for pick in picks_of(dataset) if pick.example_id == str(example_id)), None)
    choice_key, note_key = f"pick_{example_id}", f"pick_note_{example_id}"
    st.session_state[choice_key] = CHOICES[made.keep if made else None]
    st.session_state[note_key] = made.note if made else ""

    def choose() -> None:
        keep = next(keep for keep, label in CHOICES.items() if label == st.session_state[choice_key])
        set_pick(dataset, str(example_id), keep, st.session_state.get(note_key) or "")

    st.segmented_control(
        f"Pick row {row_number:,}", list(CHOICES.values()), key=choice_key, required=True, on_change=choose,
        help="Overrides filters, duplicate removal and amounts for this conversation and its exact copies. Applies to "
        "the selection on this page and is saved with it.",
    )  # fmt: skip
    st.text_input(
        "Note", key=note_key, on_change=choose, disabled=made is None, max_chars=300,
        placeholder="Reason" if made else "First choose 'Always select' or 'Never select'",
        help="Saved with the pick in the recipe and in the export manifest.",
    )  # fmt: skip


def show_hand_picks(session: Session, run: ScoredRun, score: str) -> list[int]:
    """A table of the picks of the run's dataset; selecting one opens its row. Removing or restoring them.
    Returns the row numbers on the page."""
    picks = picks_of(run.dataset)
    _offer_aside(run.dataset)
    numbers: list[int] = []
    if picks:
        numbers = _show_table(session, run, score, picks)
    else:
        st.caption("No hand picks yet. Open a row and press P to keep it or X to drop it.")
    if picks:
        st.button(
            "Remove all picks", key="picks_remove", on_click=put_picks, args=(run.dataset, ()),
            help="You can restore them until they are replaced again.",
        )  # fmt: skip
    return numbers


def _show_table(session: Session, run: ScoredRun, score: str, picks: Sequence[Pick]) -> list[int]:
    pages = math.ceil(len(picks) / PICKS_A_PAGE)
    above = st.container()
    page = st.pagination(pages, key=f"picks_page_{pages}") if pages > 1 else 1
    shown = picks[(page - 1) * PICKS_A_PAGE : page * PICKS_A_PAGE]
    frame = pick_table(session.store, run.table, score, shown)
    frame["keep"] = frame["keep"].map(CHOICES)
    frame["rows"] = frame["rows"].fillna("not in this run")
    table_key = f"picks_{hash(tuple(shown))}"  # a new key when a pick changes
    numbers = [None if pd.isna(number) else int(number) for number in frame["row_number"]]
    labels = {"rows": "Row", "domain": "Domain", "keep": "Pick", "note": "Note", "value": score_named(score).label}
    labels |= {"prompt": "Prompt"}
    with above:
        show_selectable(
            frame[list(labels)].rename(columns=labels), numbers, table_key, open_by_number("example"),
            column_config={score_named(score).label: CLOSE_VALUE},
        )  # fmt: skip
        st.caption("Select a row to open it and change its pick or note.")
    return [number for number in numbers if number is not None]


def _offer_aside(dataset: str) -> None:
    """Offer to restore the picks that were replaced."""
    aside_of, aside = remembered("picks_aside", (None, ()))
    if aside_of != dataset:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"Replaced picks: {len(aside):,}.", width="content")
        st.button(
            "Restore", key="picks_restore", on_click=_restore, args=(dataset,),
            help="Adds them to the current picks. If a row has both, the current pick is used.",
        )  # fmt: skip


def _restore(dataset: str) -> None:
    now = picks_of(dataset)
    present = {pick.example_id for pick in now}
    _, aside = remembered("picks_aside", (None, ()))
    _set_picks(dataset, (*now, *(pick for pick in aside if pick.example_id not in present)))
    forget("picks_aside")


def set_pick(dataset: str, example_id: str, keep: bool | None, note: str | None = None) -> None:
    """Callback: pick a conversation, change its pick, or take it back (`keep` None). A `note` of None leaves the note
    as it is."""
    picks = picks_of(dataset)
    if note is None:
        note = next((pick.note for pick in picks if pick.example_id == example_id), "")
    if keep is None:
        _set_picks(dataset, [pick for pick in picks if pick.example_id != example_id])
    elif any(pick.example_id == example_id for pick in picks):
        changed = [replace(pick, keep=keep, note=note) if pick.example_id == example_id else pick for pick in picks]
        _set_picks(dataset, changed)
    else:
        _set_picks(dataset, [*picks, Pick(example_id, keep, note)])


def pick_all(dataset: str, example_ids: Sequence[str], keep: bool) -> None:
    """Callback: pick many conversations at once; the picks before can be restored."""
    named = set(example_ids)
    before = picks_of(dataset)
    others = [pick for pick in before if pick.example_id not in named]
    notes = {pick.example_id: pick.note for pick in before}
    remember("picks_before_bulk", (dataset, before))
    _set_picks(dataset, [*others, *(Pick(each, keep, notes.get(each, "")) for each in example_ids)])


def offer_undo_of_bulk(dataset: str) -> None:
    """Offer to take back the last picking of many rows."""
    of_dataset, before = remembered("picks_before_bulk", (None, ()))
    if of_dataset == dataset:
        st.button(
            "Undo bulk pick", key="picks_undo_bulk", type="tertiary", icon=":material/undo:", on_click=_undo_bulk,
            args=(dataset, before), help="Restores the hand picks as they were before the last bulk pick.",
        )  # fmt: skip


def _undo_bulk(dataset: str, before: Sequence[Pick]) -> None:
    forget("picks_before_bulk")
    _set_picks(dataset, before)


def _set_picks(dataset: str, picks: Sequence[Pick]) -> None:
    remember("picks", {**remembered("picks", {}), dataset: tuple(picks)})
    rerun_page()
