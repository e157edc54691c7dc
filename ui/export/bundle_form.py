"""The bundle form: trainer, compatibility check, preview of the first records, and the button."""

import json
import shlex

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.data.version import COMMAND
from core.evidence.selection_evidence import evidence_fields
from core.exporting import (
    DEFAULT_TRAINER,
    TRAINERS,
    BundleReport,
    Preflight,
    bundle_records,
    export_bundle,
    exports_folder,
    preflight,
)
from core.selection import Selection, Summary
from core.store import Store
from ui.export.export_report import PREVIEW_ROWS, show_records
from ui.export.wanted_export import WantedExport
from ui.plain_text import escaped
from ui.shell.session import Session, remembered_for

PACKINGS = {"zip": "Zip file", "folder": "Folder"}


def bundle_form(
    session: Session,
    name: str,
    selection: Selection,
    summary: Summary,
    stem: str,
    options: DeltaGenerator,
    preview: DeltaGenerator,
) -> WantedExport:
    """Draw the form; returns the export that it describes. `stem`: the selection's name as a file name."""
    with options:
        trainer, packing = _choices()
    found = _preflight(session.store, selection, summary, trainer)
    with preview:
        show_preflight(found)
        _preview(session.store, selection, found)
    suffix = ".zip" if packing == "zip" else ""
    destination = exports_folder(session.workspace) / f"{stem}-{trainer}{suffix}"

    def write() -> BundleReport:
        evidence = evidence_fields(session.workspace, selection)
        return export_bundle(session.store, selection, destination, trainer, name, evidence)

    return WantedExport(destination, write, "jsonl", trainer, bool(found.written_rows))


def show_commands(trainer: str, name: str) -> None:
    """How to train on a written bundle of the selection `name`, and how to check it."""
    st.caption("Train: run this in the bundle's folder")
    st.code(TRAINERS[trainer].command, language=None, wrap_lines=True)
    if TRAINERS[trainer].record is not None:
        st.caption("Check that the trainer trains on the scored tokens: run this on this server")
        st.code(f"{COMMAND} masks --selection {shlex.quote(name)} --bundle {trainer}", language=None, wrap_lines=True)


def show_preflight(found: Preflight) -> None:
    """How many rows can be written, and the counted reasons for skipped or changed rows."""
    label = TRAINERS[found.trainer].label
    left_out = found.rows - found.written_rows
    if left_out:
        st.warning(
            f"{found.written_rows:,} of {found.rows:,} rows can be written ({found.written_tokens:,} of "
            f"{found.tokens:,} tokens). {left_out:,} rows are skipped, because {label} would reject them or train on "
            "tokens that were not scored."
        )
    elif TRAINERS[found.trainer].keeps_records:
        st.text(f"All {found.rows:,} rows are written unchanged. Compatibility with a trainer is not checked.")
    else:
        st.success(f"All {found.rows:,} rows can be written for {label}.")
    if found.findings:
        st.dataframe(
            pd.DataFrame(
                [
                    (
                        "Skipped" if finding.reason.refuses else "Changed",
                        finding.rows,
                        finding.reason.sentence,
                        ", ".join(f"{number:,}" for number in finding.first_rows),
                    )
                    for finding in found.findings
                ],
                columns=["Outcome", "Rows", "Reason", "First rows"],
            ),
            hide_index=True,
            column_config={
                "Outcome": st.column_config.TextColumn(width=80),
                "Rows": st.column_config.NumberColumn(format="localized", width=80),
            },
        )
    for notice in found.notices:
        st.info(escaped(notice))


def _choices() -> tuple[str, str]:
    st.session_state.setdefault("bundle_trainer", DEFAULT_TRAINER)
    st.session_state.setdefault("bundle_packing", "zip")
    trainer = str(
        st.selectbox(
            "Trainer",
            list(TRAINERS),
            format_func=lambda key: TRAINERS[key].label,
            key="bundle_trainer",
            persist_state="session",
            help="The training program. The bundle can be loaded by it without changes.",
        )
    )
    st.caption(TRAINERS[trainer].summary)
    packing = st.segmented_control(
        "Packaging",
        list(PACKINGS),
        format_func=PACKINGS.__getitem__,
        key="bundle_packing",
        required=True,
        persist_state="session",
        help="A zip file can be downloaded here if it is small. A folder can be used directly on this server.",
    )
    return trainer, str(packing)


def _preflight(store: Store, selection: Selection, summary: Summary, trainer: str) -> Preflight:
    """The preflight, cached until the selection or trainer changes, because it reads every selected row."""
    asked = json.dumps([selection.to_fields(), trainer, summary.kept_rows, summary.kept_tokens], sort_keys=True)
    return remembered_for("preflight", asked, lambda: preflight(store, selection, trainer))


def _preview(store: Store, selection: Selection, found: Preflight) -> None:
    trainer = TRAINERS[found.trainer]
    st.caption(f"First {PREVIEW_ROWS} records in the format for {trainer.label}")
    show_records(line for line, _ in bundle_records(store, selection, found, limit=PREVIEW_ROWS))
    for name, text in trainer.files(found.plan).items():
        with st.expander(name):
            st.code(text, language=None, wrap_lines=True)
