"""The first-visit guide: a few sentences on each page, until it is dismissed."""

from dataclasses import dataclass

import streamlit as st

from core.data.errors import UserError
from core.system.atomic_files import write_durably
from ui.kit.widgets import link_to_page, show_error
from ui.shell.access import may_run
from ui.shell.session import Session

_MARK = "guide-dismissed"


@dataclass(frozen=True, slots=True)
class Step:
    """One page's text of the guide, and the next page ("" after the last)."""

    page: str
    text: str
    next_page: str


STEPS = {
    step.page: step
    for step in (
        Step(
            "data",
            "Import the examples you may fine-tune on, or run the demo (1,000 rows, a tiny model, a few minutes). "
            "A domain is a kind of data, such as chat or math. Results are shown by domain.",
            "score",
        ),
        Step(
            "score",
            "Choose a base model and a reference model: the same model after fine-tuning on this data. No reference? "
            "Train one here. Each row's loss is computed once per model and cached. If you cancel scoring, computed "
            "losses are kept; if you cancel training, nothing is kept.",
            "curate",
        ),
        Step(
            "curate",
            "Learnability is the share of a row's base loss that fine-tuning removed. Near 1: almost all of it; near "
            "0: already known, or not learned; below 0: the loss increased. Choose on the left how much of each domain "
            "to select, highest score first. Drag on any chart to filter the page; open a row to read it. Save the "
            "selection under a name.",
            "export",
        ),
        Step(
            "export",
            "Write the selected rows exactly as they are in your file, or as a bundle that your trainer can load. A "
            "manifest next to the export records how to reproduce it.",
            "",
        ),
    )
}


def show_guide(session: Session, page: str) -> None:
    """The guide's text for a page, a link to the next page, and a button that dismisses the guide."""
    if (session.workspace / _MARK).exists():
        return
    step = STEPS[page]
    place = list(STEPS).index(page) + 1
    with st.container(border=True, key="guide"):
        text, buttons = st.columns([5, 2], vertical_alignment="center")
        text.markdown(f"**{place} of {len(STEPS)}** · {step.text}")
        with buttons.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
            if step.next_page:
                link_to_page(step.next_page, f"Next: {step.next_page.capitalize()}")
            if may_run():
                st.button("Dismiss guide", key="dismiss_guide", type="tertiary", on_click=_dismiss, args=(session,))


def _dismiss(session: Session) -> None:
    try:
        write_durably(session.workspace / _MARK, [b"The guide was dismissed; delete this file to see it again.\n"])
    except OSError as error:
        show_error(UserError(f"The guide cannot be dismissed: the workspace is not writable ({error.strerror})."))
