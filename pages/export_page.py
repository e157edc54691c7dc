"""Export: writes a saved selection as one file or a trainer's bundle, with a manifest and control sets."""

from pathlib import Path

import streamlit as st

from core.data.errors import UserError
from core.evidence.selection_evidence import evidence_fields
from core.exporting import EXPORT_FORMATS, ExportReport, export_rows, export_selection, exports_folder
from core.selection import Selection, Summary, saved_selection, saved_selection_names, select_summary
from core.system.paths import file_stem
from ui.export.bundle_form import bundle_form
from ui.export.controls_form import controls_form
from ui.export.export_report import PREVIEW_ROWS, show_files, show_records
from ui.kit.evidence_line import show_evidence_line
from ui.kit.guide import show_guide
from ui.kit.reference_badge import show_reference_badge
from ui.kit.widgets import link_to_page, show_error
from ui.plain_text import escaped
from ui.shell.access import may_run
from ui.shell.session import Session, open_session, remember, remembered

FORMS = {"file": "One file", "bundle": "A bundle for a trainer"}


def export() -> None:
    """The whole page."""
    st.header("Export")
    session = open_session()
    show_guide(session, "export")
    names = saved_selection_names(session.store)
    if not names:
        st.info("No saved selection yet. Make a selection and save it under a name.")
        link_to_page("curate", "Make a selection")
        return
    name = str(
        st.selectbox(
            "Saved selection",
            names,
            key="export_selection",
            persist_state="session",
            help="The rows to export. Selections are saved on the Curate page.",
        )
    )
    selection = saved_selection(session.store, name)
    summary = select_summary(session.store, selection)
    show_selection(selection, summary)
    show_reference_badge(session.store, selection.run)
    show_evidence_line(session.workspace, selection)
    if not summary.kept_rows:
        st.info("This selection is empty, so there is nothing to export. Increase its amount or relax its filters.")
        link_to_page("curate", "Change the selection")
        return
    st.session_state.setdefault("export_form", "file")
    form = st.segmented_control(
        "Export as",
        list(FORMS),
        format_func=FORMS.__getitem__,
        key="export_form",
        required=True,
        persist_state="session",
        help="One file: the original records, as imported. A bundle: the records in a trainer's format, with a config "
        "and the command to run.",
    )
    stem = file_stem(name, "selection")
    if form == "bundle":
        trainer, path = bundle_form(session, name, selection, summary, stem)
        controls_form(session, name, selection, path, "jsonl", trainer)
    else:
        file_format, path = export_form(session, name, selection, stem)
        controls_form(session, name, selection, path, file_format, None)


def show_selection(selection: Selection, summary: Summary) -> None:
    """The size of the selection, and warnings about amounts that could not be met."""
    st.text(
        f"{summary.kept_rows:,} of {summary.rows:,} rows, {summary.kept_tokens:,} of {summary.tokens:,} tokens, "
        f"from run {selection.run}, in their original order."
    )
    for notice in summary.notices:
        st.warning(escaped(notice))


def export_form(session: Session, name: str, selection: Selection, stem: str) -> tuple[str, Path]:
    """The file form: format, options, preview, button and report. Returns the format and the file's path."""
    left, right = st.columns([2, 3])
    chosen = left.selectbox(
        "Format",
        list(EXPORT_FORMATS),
        format_func=lambda key: EXPORT_FORMATS[key].label,
        key="export_format",
        help="Most trainers read JSON Lines. All formats hold the same records.",
    )
    file_format = EXPORT_FORMATS[str(chosen)]
    compress = file_format.compressible and left.checkbox(
        "Compress (.gz)", key="export_gzip", help="Smaller file. Some trainers cannot read it."
    )
    with_scores = left.checkbox(
        "Add scores",
        key="export_scores",
        help="Adds losses, scores, rank, domain and flags of each row: as lobass_* columns in CSV and Parquet, as one "
        "object named lobass in JSON and JSONL.",
    )
    guard = file_format.name == "csv" and left.checkbox(
        "Escape spreadsheet formulas",
        key="export_guard",
        help="Adds an apostrophe before text that starts with = + - @, a tab or a line break. This changes the data, "
        "and the manifest records it. Use it only for files that are opened in a spreadsheet.",
    )
    with right:
        st.caption(f"First {PREVIEW_ROWS} records" + (", with scores" if with_scores else ""))
        rows = export_rows(session.store, selection, with_scores, limit=PREVIEW_ROWS)
        show_records(row.with_scores() for row in rows)
    suffix = f"{file_format.name}.gz" if compress else file_format.name
    destination = exports_folder(session.workspace) / f"{stem}.{suffix}"
    replaces = " (overwrites the existing file)" if destination.exists() else ""
    st.caption(f"Output file{replaces}. The manifest is written next to it.")
    st.code(str(destination), language=None)
    if st.button("Write export", type="primary", key="write_export", disabled=not may_run()):
        with st.spinner("Writing..."):
            written = export_selection(
                session.store, selection, destination, file_format.name, with_scores, guard, name,
                evidence_fields(session.workspace, selection),
            )  # fmt: skip
        remember("export_report", written)
    report: ExportReport | None = remembered("export_report")
    if report and report.path == destination and report.path.exists():
        st.success(f"{report.rows:,} rows, {report.byte_count:,} bytes written.")
        show_files(report.path, report.manifest_path, report.sha256, report.byte_count)
    return file_format.name, destination


try:
    export()
except UserError as error:
    show_error(error)
