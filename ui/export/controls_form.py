"""The controls form: writes control sets with the same number of scored tokens as the selection."""

from pathlib import Path

import pandas as pd
import streamlit as st

from core.exporting import CONTROLS, DEFAULT_SEEDS, ControlsReport, controls_folder, export_controls
from core.selection import Selection
from ui.kit.tables import COUNT
from ui.shell.access import may_run
from ui.shell.session import Session, remember, remembered

_MOST_SEEDS = 20


def controls_form(
    session: Session, name: str, selection: Selection, output: Path, file_format: str, trainer: str | None
) -> None:
    """Draw the form and the report of the last controls. They have the form of the export at `output`: a file of the
    format, or a zip for the trainer."""
    st.markdown("#### Controls")
    st.text(
        "Train on this selection and on equal-token controls to see whether it helps. Controls use the same filters "
        "and the same number of scored tokens, within one row. Prompt tokens are not counted, so training times can "
        "differ."
    )
    st.session_state.setdefault("controls_kinds", list(CONTROLS))
    st.session_state.setdefault("controls_seeds", DEFAULT_SEEDS)
    left, right = st.columns([4, 1])
    meanings = "  \n".join(f"{control.label}: {control.help}." for control in CONTROLS.values())
    kinds = left.multiselect(
        "Kinds of controls",
        list(CONTROLS),
        format_func=lambda key: CONTROLS[key].label,
        key="controls_kinds",
        placeholder="None",
        persist_state="session",
        help=meanings,
    )
    seeds = right.number_input(
        "Seeds",
        1,
        _MOST_SEEDS,
        step=1,
        key="controls_seeds",
        persist_state="session",
        help="Number of random draws per random control. Several seeds show how much the result varies by chance.",
    )
    folder = controls_folder(output)
    st.caption("Output folder. Each control has a manifest; controls.json lists all of them.")
    st.code(str(folder), language=None)
    if st.button("Write controls", key="write_controls", disabled=not kinds or not may_run()):
        with st.spinner("Writing..."):
            written = export_controls(
                session.store, selection, folder, file_format, int(seeds), kinds, trainer, name
            )  # fmt: skip
        remember("controls_report", written)
    report: ControlsReport | None = remembered("controls_report")
    if report and report.folder == folder and report.index_path.exists():
        _show_report(report)


def _show_report(report: ControlsReport) -> None:
    st.success(f"{len(report.controls):,} controls written.")
    st.code(str(report.index_path), language=None)
    table = pd.DataFrame(
        [
            {
                "File": control.path.name if control.path else "none",
                "Rows": control.rows,
                "Tokens": control.tokens,
                "Target tokens": control.wanted_tokens,
                "Note": " ".join(control.notices),
                "SHA-256": control.sha256 or "",
            }
            for control in report.controls
        ]
    )
    counts = ("Rows", "Tokens", "Target tokens")
    st.dataframe(
        table,
        hide_index=True,
        column_config=dict.fromkeys(counts, COUNT),
    )
