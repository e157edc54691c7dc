"""The options of controls: exports of other rows with the same number of scored tokens as the selection."""

from dataclasses import dataclass

import streamlit as st

from core.exporting import CONTROLS, DEFAULT_SEEDS

_MOST_SEEDS = 20


@dataclass(frozen=True, slots=True)
class WantedControls:
    """Which kinds of controls to write, and how many draws of the random ones."""

    kinds: tuple[str, ...]
    seeds: int


def controls_form() -> WantedControls | None:
    """Draw the options; None if no controls are wanted."""
    wanted = st.checkbox(
        "Add controls",
        key="controls_wanted",
        persist_state="session",
        help="Train on this selection and on equal-token controls to see whether it helps. Controls use the same "
        "filters and the same number of scored tokens, within one row. Prompt tokens are not counted, so training "
        "times can differ.",
    )
    if not wanted:
        return None
    st.session_state.setdefault("controls_kinds", list(CONTROLS))
    st.session_state.setdefault("controls_seeds", DEFAULT_SEEDS)
    meanings = "  \n".join(f"{control.label}: {control.help}." for control in CONTROLS.values())
    kinds = st.multiselect(
        "Kinds of controls",
        list(CONTROLS),
        format_func=lambda key: CONTROLS[key].label,
        key="controls_kinds",
        placeholder="None",
        persist_state="session",
        help=meanings,
    )
    seeds = st.number_input(
        "Seeds",
        1,
        _MOST_SEEDS,
        step=1,
        key="controls_seeds",
        persist_state="session",
        help="Number of random draws per random control. Several seeds show how much the result varies by chance.",
    )
    return WantedControls(tuple(kinds), int(seeds)) if kinds else None
