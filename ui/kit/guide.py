"""The guide of a first visit: a few sentences a page, until somebody dismisses it."""

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
    """One page's part of the guide, and the page that comes next ("" after the last)."""

    page: str
    says: str
    next_page: str


STEPS = {
    step.page: step
    for step in (
        Step(
            "data",
            "Import the examples you might fine-tune on, or run the demo: 1,000 rows and a tiny model of its own, in "
            "about two minutes. A domain is a kind of data, such as chat or math; everything is shown by domain.",
            "score",
        ),
        Step(
            "score",
            "Name a base model and a reference: the same model after fine-tuning on this data. Have one trained here "
            "if there is none. Each row's loss is computed under both, once. A scoring that is cancelled keeps every "
            "loss it has computed; a training that is cancelled keeps nothing.",
            "explore",
        ),
        Step(
            "explore",
            "Learnability is the share of a row's base loss that fine-tuning removed: near 1, this base learned the "
            "row; near 0: already known, or not learned; below 0, it got worse. Drag over a chart to pick rows out; "
            "open a row to see it token by token and why it is in or out.",
            "select",
        ),
        Step(
            "select",
            "Choose how much of each domain to keep, highest score first. The count beside each control follows, and "
            "every row that is left out has a reason. Save the choice under a name.",
            "export",
        ),
        Step(
            "export",
            "Write the rows you kept, each as it was in your file, or a bundle that your trainer loads unchanged. The "
            "manifest beside it says how to make the same file again.",
            "",
        ),
    )
}


def show_guide(session: Session, page: str) -> None:
    """The page's sentences, with the way on and a button that ends the guide for this workspace."""
    if (session.workspace / _MARK).exists():
        return
    step = STEPS[page]
    place = list(STEPS).index(page) + 1
    with st.container(border=True, key="guide"):
        says, ways = st.columns([5, 2], vertical_alignment="center")
        says.markdown(f"**{place} of {len(STEPS)}** · {step.says}")
        with ways.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right"):
            if step.next_page:
                link_to_page(step.next_page, f"Next: {step.next_page.capitalize()}")
            if may_run():
                st.button("Dismiss the guide", key="dismiss_guide", type="tertiary", on_click=_dismiss, args=(session,))


def _dismiss(session: Session) -> None:
    try:
        write_durably(session.workspace / _MARK, [b"The guide was dismissed; delete this file to see it again.\n"])
    except OSError as error:
        show_error(UserError(f"The guide cannot be put away: the workspace cannot be written ({error.strerror})."))
