"""Export: a saved selection into one file or a trainer's bundle, with its manifest, and its controls beside it."""

from pathlib import Path

import streamlit as st

from core.data.errors import UserError
from core.exporting import EXPORT_FORMATS, ExportReport, export_rows, export_selection, exports_folder
from core.selection import Selection, Summary, saved_selection, saved_selection_names, select_summary
from core.system.paths import file_stem
from ui.export.bundle_form import bundle_form
from ui.export.controls_form import controls_form
from ui.export.export_report import PREVIEW_ROWS, show_files, show_records
from ui.kit.guide import show_guide
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
        st.info("There is no saved selection yet. Choose what to keep, and save it under a name.")
        link_to_page("select", "Make a selection")
        return
    name = str(
        st.selectbox(
            "Saved selection",
            names,
            key="export_selection",
            persist_state="session",
            help="Which rows are written. Selections are made and saved on the Select page.",
        )
    )
    selection = saved_selection(session.store, name)
    summary = select_summary(session.store, selection)
    show_selection(selection, summary)
    if not summary.kept_rows:
        st.info("This selection keeps no row, so there is nothing to export. Raise its amount or loosen its filters.")
        link_to_page("select", "Change the selection")
        return
    st.session_state.setdefault("export_form", "file")
    form = st.segmented_control(
        "Write",
        list(FORMS),
        format_func=FORMS.__getitem__,
        key="export_form",
        required=True,
        persist_state="session",
        help="One file holds the original records as they were imported. A bundle holds them as one trainer reads "
        "them, with its config and the command to run.",
    )
    stem = file_stem(name, "selection")
    if form == "bundle":
        trainer, path = bundle_form(session, name, selection, summary, stem)
        controls_form(session, name, selection, path, "jsonl", trainer)
    else:
        file_format, path = export_form(session, name, selection, stem)
        controls_form(session, name, selection, path, file_format, None)


def show_selection(selection: Selection, summary: Summary) -> None:
    """What will be written, in a sentence, and what could not be met."""
    st.text(
        f"{summary.kept_rows:,} of {summary.rows:,} rows, {summary.kept_tokens:,} of {summary.tokens:,} tokens, "
        f"from run {selection.run}, in their original order."
    )
    for notice in summary.notices:
        st.warning(escaped(notice))


def export_form(session: Session, name: str, selection: Selection, stem: str) -> tuple[str, Path]:
    """Format and choices, a preview, the button, and what was written; returns the format and the file's path."""
    left, right = st.columns([2, 3])
    chosen = left.selectbox(
        "Format",
        list(EXPORT_FORMATS),
        format_func=lambda key: EXPORT_FORMATS[key].label,
        key="export_format",
        help="JSON Lines is what most trainers read. Every format holds the same records.",
    )
    file_format = EXPORT_FORMATS[str(chosen)]
    compress = file_format.compressible and left.checkbox(
        "Compress (.gz)", key="export_gzip", help="A smaller file. Not every trainer reads it."
    )
    with_scores = left.checkbox(
        "Add the scores",
        key="export_scores",
        help="Losses, scores, rank, domain and flags of each row: a lobass_* column for each in CSV and Parquet; one "
        "object under the name lobass in JSON and JSONL.",
    )
    guard = file_format.name == "csv" and left.checkbox(
        "Guard against spreadsheet formulas",
        key="export_guard",
        help="Puts an apostrophe before text that begins with = + - @, a tab or a line break. Changes the data; "
        "the manifest says so. Only for files that a person opens in a spreadsheet.",
    )
    with right:
        st.caption(f"The first {PREVIEW_ROWS} records" + (", with their scores" if with_scores else ""))
        rows = export_rows(session.store, selection, with_scores, limit=PREVIEW_ROWS)
        show_records(row.with_scores() for row in rows)
    suffix = f"{file_format.name}.gz" if compress else file_format.name
    destination = exports_folder(session.workspace) / f"{stem}.{suffix}"
    replaces = ", in place of the export that is there" if destination.exists() else ""
    st.caption(f"Will be written, with its manifest beside it{replaces}, to:")
    st.code(str(destination), language=None)
    if st.button("Write export", type="primary", key="write_export", disabled=not may_run()):
        with st.spinner("Writing ..."):
            written = export_selection(
                session.store, selection, destination, file_format.name, with_scores, guard, name
            )
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
