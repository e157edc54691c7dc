"""Export: a saved selection's original records into one file, with the manifest that makes it again."""

import re
from pathlib import Path

import streamlit as st

from core import settings
from core.errors import CurationError
from core.exporting import FORMATS, ExportReport, export_rows, export_selection, exports_folder
from core.selection import Selection, Summary, saved_selection, saved_selection_names, select_summary
from core.store import Store
from ui.session import Session, open_session
from ui.widgets import escaped, link_to_page, show_error

PREVIEW_ROWS = 3
PREVIEW_CHARACTERS = 2_000


def export() -> None:
    """The whole page."""
    st.header("Export")
    session = open_session()
    names = saved_selection_names(session.store)
    if not names:
        st.info("There is no saved selection yet. Choose what to keep, and save it under a name.")
        link_to_page("select", "Make a selection")
        return
    name = str(st.selectbox("Saved selection", names, key="export_selection", persist_state="session"))
    selection = saved_selection(session.store, name)
    summary = select_summary(session.store, selection)
    show_selection(selection, summary)
    if not summary.kept_rows:
        st.info("This selection keeps no row, so there is nothing to export. Raise its amount or loosen its filters.")
        link_to_page("select", "Change the selection")
        return
    export_form(session, name, selection)


def show_selection(selection: Selection, summary: Summary) -> None:
    """What will be written, in a sentence, and what could not be met."""
    st.text(
        f"{summary.kept_rows:,} of {summary.rows:,} rows, {summary.kept_tokens:,} of {summary.tokens:,} tokens, "
        f"from run {selection.run}, as original records in their original order."
    )
    for notice in summary.notices:
        st.warning(escaped(notice))


def export_form(session: Session, name: str, selection: Selection) -> None:
    """Format and choices, a preview, the button, and what was written."""
    left, right = st.columns([2, 3])
    chosen = left.selectbox("Format", list(FORMATS), format_func=lambda key: FORMATS[key].label, key="export_format")
    file_format = FORMATS[str(chosen)]
    compress = file_format.compressible and left.checkbox("Compress (.gz)", key="export_gzip")
    with_scores = left.checkbox(
        "Add the scores",
        key="export_scores",
        help="A lobass_* column for each in CSV and Parquet; one object under the name lobass in JSON and JSONL.",
    )
    guard = file_format.name == "csv" and left.checkbox(
        "Guard against spreadsheet formulas",
        key="export_guard",
        help="Puts an apostrophe before text that begins with = + - @, a tab or a carriage return. Changes the data; "
        "the manifest says so. Only for files that a person opens in a spreadsheet.",
    )
    with right:
        show_preview(session.store, selection, with_scores)
    suffix = f"{file_format.name}.gz" if compress else file_format.name
    destination = exports_folder(session.workspace) / f"{file_name(name)}.{suffix}"
    replaces = ", in place of the export that is there" if destination.exists() else ""
    st.caption(f"Will be written, with its manifest beside it{replaces}, to:")
    st.code(str(destination), language=None)
    if st.button("Write export", type="primary", key="write_export"):
        with st.spinner("Writing ..."):
            st.session_state["export_report"] = export_selection(
                session.store, selection, destination, file_format.name, with_scores, guard, name
            )
    report: ExportReport | None = st.session_state.get("export_report")
    if report and report.path == destination and report.path.exists():
        show_report(report)


def file_name(selection: str) -> str:
    """A file name from a selection's name: letters, digits and a few signs, so that no folder can be named."""
    return re.sub(r"[^\w.+-]+", "-", selection).strip(".-") or "selection"


def show_preview(store: Store, selection: Selection, with_scores: bool) -> None:
    """The first records as they will be written, shortened only here."""
    st.caption(f"The first {PREVIEW_ROWS} records" + (", with their scores" if with_scores else ""))
    for row in export_rows(store, selection, with_scores, limit=PREVIEW_ROWS):
        text = row.with_scores().decode("utf-8", "replace")
        cut = text[:PREVIEW_CHARACTERS] + (" ..." if len(text) > PREVIEW_CHARACTERS else "")
        st.code(cut, language=None, wrap_lines=True)


def show_report(report: ExportReport) -> None:
    """What was written and where, and downloads while they are small."""
    st.success(f"{report.rows:,} rows, {report.byte_count:,} bytes written.")
    st.caption("File and manifest")
    st.code(f"{report.path}\n{report.manifest_path}", language=None)
    st.caption("SHA-256 of the file")
    st.code(report.sha256, language=None)
    limit = settings.integer("download_megabytes")
    if report.byte_count > limit * 1_000_000:
        st.text(f"Larger than {limit:,} MB, so it is not offered as a download. Copy it from the path above.")
    else:
        download("Download the file", report.path, "download_data")
    download("Download the manifest", report.manifest_path, "download_manifest")


def download(label: str, path: Path, key: str) -> None:
    """A button that reads the file when it is pressed."""
    st.download_button(
        label, data=path.read_bytes, file_name=path.name, mime="application/octet-stream", key=key, on_click="ignore"
    )


try:
    export()
except CurationError as error:
    show_error(error)
