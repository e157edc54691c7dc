"""The guide: what each page is for, in a few sentences behind the help button of its line."""

from dataclasses import dataclass

import streamlit as st

from ui.kit.widgets import link_to_page


@dataclass(frozen=True, slots=True)
class Step:
    """One page's text of the guide, and the page that usually comes next ("" if none)."""

    text: str
    next_page: str = ""


STEPS = {
    "home": Step(
        "Your newest runs: their main figures, what is known of how far to trust them, and the next step of each.",
        "data",
    ),
    "data": Step(
        "Import the examples you may fine-tune on, or open the demo from Home. A domain is a kind of data, such as "
        "chat or math. Results are shown by domain.",
        "score",
    ),
    "score": Step(
        "Choose a base model and a reference model: the same model after fine-tuning on this data. No reference? "
        "Train one here. Each row's loss is computed once per model and cached. If you cancel scoring, computed "
        "losses are kept; if you cancel training, nothing is kept.",
        "curate",
    ),
    "curate": Step(
        "Learnability is the share of a row's base loss that fine-tuning removed. Near 1: it removed almost all of "
        "it; near 0: already known, or not learned; below 0: the loss increased. Choose on the left how much of each "
        "domain to select, highest score first, or drag a cut-off. Drag on the other charts to filter the page. Open a "
        "row to read it, and see why it is selected or not. Save the selection under a name.",
        "export",
    ),
    "evidence": Step(
        "How far to trust this run's learnability before selecting by it: is it memory, is it length or the end "
        "token, is it stable, and does a selection by it beat random rows of the same size? Compare runs shows how far "
        "two runs of one dataset rank the rows alike, and which rows change places most.",
        "export",
    ),
    "export": Step(
        "Write the selected rows exactly as they are in your file, or as a bundle that your trainer can load. A "
        "manifest next to the export records how to reproduce it.",
    ),
}


def show_guide(page: str) -> None:
    """A button that opens a page's text of the guide, with a link to the next page."""
    step = STEPS[page]
    with st.popover("Guide", icon=":material/help:", type="tertiary"):
        st.markdown(step.text)
        if step.next_page:
            link_to_page(step.next_page, f"Next: {step.next_page.capitalize()}")
