"""Data: bring files in, see what every record became, and put domains in order."""

from dataclasses import replace
from pathlib import Path

import streamlit as st

from core.errors import CurationError
from core.examples import Rejected
from core.importing import DomainRule, ImportReport, SourceOptions, detect_format, import_source, preview
from core.importing.detection import Detection
from core.importing.formats import FORMATS, format_named
from core.importing.sources import local_files
from core.status import dataset_overview
from ui.dataset_view import show_dataset
from ui.demo_view import offer_demo, show_demo_result
from ui.job_view import show_active_jobs
from ui.session import Session, forget, open_session, remember, remembered
from ui.staged_files import staged_upload
from ui.widgets import conversation, show_error

_FROM_FIELD, _ONE_NAME, _FILE_NAME = "A field of each record", "One name for all rows", "The file's name"


def main(session: Session) -> None:
    """The page."""
    st.header("Data")
    datasets = dataset_overview(session.store)
    if not datasets:
        offer_demo(session)
    show_active_jobs(session)
    show_demo_result(session)
    st.subheader("Import a file")
    _import_section(session, [dataset["name"] for dataset in datasets])
    report = remembered("import_report")
    if report:
        _show_report(report)
    if datasets:
        st.subheader("Datasets")
        for dataset in datasets:
            show_dataset(session, dataset, expanded=len(datasets) == 1)


def _import_section(session: Session, known: list[str]) -> None:
    files = _chosen_files(session)
    if not files:
        return
    first, name = files[0]
    try:
        options = _options(first)
        detection = detect_format(first, options)
        _show_detection(detection)
        _show_preview(first, options)
    except CurationError as error:
        show_error(error)
        return
    columns = st.columns([2, 1], vertical_alignment="bottom")
    stem = name.split(".")[0]
    dataset = columns[0].text_input(
        "Dataset", known[0] if known else stem, help="A new name makes a new dataset; a name that exists adds to it."
    )
    if columns[1].button("Import", type="primary", width="stretch", disabled=not dataset.strip()):
        _import(session, dataset.strip(), files, options)


def _chosen_files(session: Session) -> list[tuple[Path, str]]:
    """Files to import and the names their owner knows them by."""
    upload_tab, path_tab, hub_tab = st.tabs(["Upload", "Path on this server", "Hugging Face Hub"])
    with upload_tab:
        uploads = st.file_uploader(
            "JSON, JSONL, CSV or Parquet; .gz and .zst too", accept_multiple_files=True, key="uploads"
        )
    with path_tab:
        path = st.text_input("Path", placeholder="/data/sft.jsonl", key="server_path")
        st.caption("For files that are too large to upload: they are read where they are.")
    with hub_tab:
        hub_id = st.text_input("Dataset id", placeholder="owner/name", key="hub_id")
        fetch = st.button("Fetch", disabled=not hub_id)
    try:
        if uploads:
            return [(staged_upload(session, upload), upload.name) for upload in uploads]
        if path:
            return [(file, file.name) for file in local_files([path])]
        if fetch:
            with st.spinner("Fetching"):
                remember("hub_files", (hub_id, local_files([hub_id])))
        fetched = remembered("hub_files")
        if hub_id and fetched and fetched[0] == hub_id:
            return [(file, file.name) for file in fetched[1]]
    except CurationError as error:
        show_error(error)
    return []


def _options(path: Path) -> SourceOptions:
    """Format, domain and columns, chosen beside what was detected."""
    detected = detect_format(path)
    names = ["auto", *(item.name for item in FORMATS)]
    left, middle, right = st.columns(3)
    source_format = left.selectbox("Format", names, help="auto takes the format that fits the first records.")
    rule = middle.selectbox("Domain of a row comes from", [_FILE_NAME, _FROM_FIELD, _ONE_NAME], index=_rule(detected))
    domain = DomainRule()
    if rule == _FROM_FIELD:
        columns = list(detected.columns)
        domain = DomainRule(field=right.selectbox("Field", columns, index=_domain_column(columns)))
    elif rule == _ONE_NAME:
        domain = DomainRule(name=right.text_input("Domain", "general").strip() or None)
    options = SourceOptions(source_format, domain)
    return replace(options, columns=_mapped_columns(detected, source_format))


def _rule(detected: Detection) -> int:
    return 1 if "domain" in detected.columns else 0


def _domain_column(columns: list[str]) -> int:
    return columns.index("domain") if "domain" in columns else 0


def _mapped_columns(detected: Detection, chosen: str) -> dict[str, str]:
    source_format = format_named(detected.format if chosen == "auto" and detected.format else chosen)
    if source_format is None:
        return {}
    mapped = {}
    with st.expander("Columns"):
        st.caption("Which column of the file each field is read from.")
        for item in source_format.fields:
            found = next((name for name in item.names if name in detected.columns), None)
            choices = ["", *detected.columns]
            label = item.name if item.required else f"{item.name} (optional)"
            column = st.selectbox(
                label,
                choices,
                index=choices.index(found) if found else 0,
                key=f"column_{source_format.name}_{item.name}",
            )
            if column != (found or ""):
                mapped[item.name] = column
    return mapped


def _show_detection(detection: Detection) -> None:
    what = f"{detection.container}, format {detection.format}" if detection.format else detection.container
    st.text(f"Read as {what}: {detection.why}")


def _show_preview(path: Path, options: SourceOptions) -> None:
    with st.expander("How the first rows are read", expanded=True):
        for record in preview(path, options, 3):
            if isinstance(record, Rejected):
                st.text(f"Record {record.line:,} is left out: {record.reason}. {record.detail}")
            else:
                st.text(f"Record {record.line:,}, domain {record.domain}")
                conversation(record.example, height=160)


def _import(session: Session, dataset: str, files: list[tuple[Path, str]], options: SourceOptions) -> None:
    reports = []
    try:
        with st.spinner("Importing"):
            for path, name in files:
                reports.append(import_source(session.store, dataset, path, options, source_name=name))
    except CurationError as error:
        show_error(error)
    if reports:
        remember("import_report", reports)
        st.rerun()


def _show_report(reports: list[ImportReport]) -> None:
    with st.container(border=True):
        for report in reports:
            again = " It was in the dataset already, so nothing was added." if report.already_imported else ""
            st.text(
                f"{report.source}: {report.rows:,} rows in {report.dataset}, {report.rejected:,} records left out "
                f"(format {report.format}).{again}"
            )
            for reason, count in report.by_reason.items():
                st.text(f"    {count:,} left out: {reason}")
        if st.button("Close"):
            forget("import_report")
            st.rerun()


main(open_session())
