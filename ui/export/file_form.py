"""The file form: format and options on the left, the first records on the right."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.evidence.selection_evidence import evidence_fields
from core.exporting import EXPORT_FORMATS, ExportReport, export_rows, export_selection, exports_folder
from core.selection import Selection
from ui.export.export_report import PREVIEW_ROWS, show_records
from ui.export.wanted_export import WantedExport
from ui.shell.session import Session


def file_form(
    session: Session, name: str, selection: Selection, stem: str, options: DeltaGenerator, preview: DeltaGenerator
) -> WantedExport:
    """Draw the form; returns the export that it describes. `stem`: the selection's name as a file name."""
    with options:
        chosen = st.selectbox(
            "Format",
            list(EXPORT_FORMATS),
            format_func=lambda key: EXPORT_FORMATS[key].label,
            key="export_format",
            help="Most trainers read JSON Lines. All formats hold the same records.",
        )
        file_format = EXPORT_FORMATS[str(chosen)]
        with st.container(horizontal=True):
            with_scores = st.checkbox(
                "Add scores",
                key="export_scores",
                help="Adds losses, scores, rank, domain and flags of each row: as lobass_* columns in CSV and Parquet, "
                "as one object named lobass in JSON and JSONL.",
            )
            compress = file_format.compressible and st.checkbox(
                "Compress (.gz)", key="export_gzip", help="Smaller file. Some trainers cannot read it."
            )
        guard = file_format.name == "csv" and st.checkbox(
            "Escape spreadsheet formulas",
            key="export_guard",
            help="Adds an apostrophe before text that starts with = + - @, a tab or a line break. This changes the "
            "data, and the manifest records it. Use it only for files that are opened in a spreadsheet.",
        )
    with preview:
        st.caption(f"First {PREVIEW_ROWS} records" + (", with scores" if with_scores else ""))
        rows = export_rows(session.store, selection, with_scores, limit=PREVIEW_ROWS)
        show_records(row.with_scores() for row in rows)
    suffix = f"{file_format.name}.gz" if compress else file_format.name
    destination = exports_folder(session.workspace) / f"{stem}.{suffix}"

    def write() -> ExportReport:
        evidence = evidence_fields(session.workspace, selection)
        return export_selection(
            session.store, selection, destination, file_format.name, with_scores, guard, name, evidence
        )

    return WantedExport(destination, write, file_format.name)
