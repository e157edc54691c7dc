"""Data: bring files in, see what every record became, and put domains in order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core import settings
from core.errors import CurationError, SourceUnreadable
from core.examples import DatasetRow, Rejected
from core.importing import Detection, DomainRule, ImportReport, SourceOptions, detect_format, import_source, preview
from core.importing.formats import FORMATS, FormatField, format_named
from core.importing.hub import is_hub_id
from core.importing.records import REASONS
from core.importing.sources import local_files
from core.status import dataset_overview
from ui.dataset_view import show_dataset
from ui.demo_view import offer_demo, show_demo_result
from ui.job_view import show_active_jobs, show_last_failure
from ui.plain_text import escaped
from ui.session import Session, forget, open_session, remember, remembered
from ui.staged_files import remove_staged, staged_upload
from ui.widgets import conversation, link_to_page, show_error

_UPLOAD, _PATH, _HUB = "Upload", "Path on this server", "Hugging Face Hub"
_FROM_FIELD, _ONE_NAME, _FILE_NAME = "A field of each record", "One name for all rows", "The file's name"
_PREVIEWED = 3
_NAMED_DOMAINS = 20


@dataclass(frozen=True, slots=True)
class _ChosenFile:
    """A file to import, and the name its owner knows it by."""

    path: Path
    name: str


def main(session: Session) -> None:
    """The page."""
    st.header("Data")
    datasets = dataset_overview(session.store)
    show_last_failure(session)
    show_active_jobs(session)
    if not datasets:
        offer_demo(session)
    show_demo_result(session, [dataset["name"] for dataset in datasets])
    st.subheader("Import a file")
    _show_last_import()
    _import_section(session, datasets)
    if datasets:
        st.subheader("Datasets")
        for dataset in datasets:
            show_dataset(session, dataset, expanded=len(datasets) == 1)


def _import_section(session: Session, datasets: list[dict[str, Any]]) -> None:
    try:
        files = _chosen_files(session)
        if not files:
            return
        options = _options(files[0].path)
        _show_reading(files, options)
    except CurationError as error:
        show_error(error)
        return
    name, action = st.columns([3, 1], vertical_alignment="bottom")
    stem = files[0].name.split(".")[0]
    dataset = name.text_input("Into the dataset", stem, key=f"dataset_{_round()}_{files[0].path}").strip()
    if action.button("Import", type="primary", width="stretch", disabled=not dataset):
        _import(session, dataset, files, options)
    rows = next((item["rows"] for item in datasets if item["name"] == dataset), None)
    st.caption("This makes a new dataset." if rows is None else f"This adds to a dataset of {rows:,} rows.")


# What to import


def _round() -> int:
    """Counts imports: part of the form's keys, so that it is empty again after each."""
    return int(remembered("import_round", 0))


def _chosen_files(session: Session) -> list[_ChosenFile]:
    where = st.segmented_control(
        "Where the file is", [_UPLOAD, _PATH, _HUB], default=_UPLOAD, required=True, key="file_place"
    )
    if where == _PATH:
        path = st.text_input(
            "Path",
            placeholder="/data/sft.jsonl",
            key=f"path_{_round()}",
            help="The file is read where it is, so it may be larger than an upload.",
        ).strip()
        return [_ChosenFile(Path(path).expanduser(), Path(path).name)] if path else []
    if where == _HUB:
        return _hub_files()
    uploads = st.file_uploader(
        "JSON, JSONL, CSV or Parquet; .gz and .zst too. Several files become one dataset.",
        accept_multiple_files=True,
        max_upload_size=settings.integer("max_upload_megabytes"),
        key=f"uploads_{_round()}",
    )
    return [_ChosenFile(staged_upload(session.workspace, upload), upload.name) for upload in uploads or []]


def _hub_files() -> list[_ChosenFile]:
    field, action = st.columns([3, 1], vertical_alignment="bottom")
    hub_id = field.text_input("Dataset id", placeholder="owner/name", key=f"hub_id_{_round()}").strip()
    if action.button("Fetch", disabled=not hub_id, width="stretch"):
        if not is_hub_id(hub_id):
            raise SourceUnreadable(f"{hub_id!r} is no id of a dataset on the Hub. Write it as owner/name.")
        with st.spinner("Fetching"):
            remember("hub_files", (hub_id, local_files([hub_id])))
    fetched_id, files = remembered("hub_files", ("", []))
    return [_ChosenFile(file, file.name) for file in files] if hub_id and hub_id == fetched_id else []


# How it is read


def _options(path: Path) -> SourceOptions:
    """Format, domain and columns, chosen beside what was detected."""
    detected = detect_format(path)
    left, middle, right = st.columns(3)
    names = ["auto", *(item.name for item in FORMATS)]
    source_format = left.selectbox(
        "Format",
        names,
        format_func=lambda name: f"auto ({detected.format or 'none fits'})" if name == "auto" else name,
        help="\n".join(f"- {item.name}: {item.summary}" for item in FORMATS),
    )
    has_domain = "domain" in detected.columns
    rule = middle.selectbox("Domain of a row", [_FILE_NAME, _FROM_FIELD, _ONE_NAME], index=int(has_domain))
    domain = DomainRule()
    if rule == _FROM_FIELD:
        columns = list(detected.columns)
        domain = DomainRule(field=right.selectbox("Field", columns, columns.index("domain") if has_domain else 0))
    elif rule == _ONE_NAME:
        domain = DomainRule(name=right.text_input("Domain", "general").strip() or None)
    return SourceOptions(source_format, domain, _mapped_columns(detected, source_format))


def _mapped_columns(detected: Detection, chosen: str) -> dict[str, str]:
    source_format = format_named((detected.format or "") if chosen == "auto" else chosen)
    if source_format is None:
        st.text("No format fits these columns. Choose one above to say which column is which of its fields.")
        return {}
    found = {item.name: next((n for n in item.names if n in detected.columns), "") for item in source_format.fields}
    missing = any(not found[item.name] for item in source_format.required)
    mapped: dict[str, str] = {}
    with st.expander("Columns", expanded=missing):
        st.caption("Which column of the file each field is read from.")
        for item, place in zip(source_format.fields, st.columns(len(source_format.fields)), strict=True):
            choices = ["", *detected.columns]
            column = place.selectbox(
                item.name if item.required else f"{item.name} (optional)",
                choices,
                choices.index(found[item.name]),
                format_func=lambda name: name or "(none)",
            )
            if column != found[item.name]:
                mapped |= _mapping(item, column)
    return mapped


def _mapping(item: FormatField, column: str) -> dict[str, str]:
    """Read a field from a column; from none, under whichever of its names the file has it, where `column` is ""."""
    return {item.name: column} if column else dict.fromkeys(item.names, "")


def _show_reading(files: list[_ChosenFile], options: SourceOptions) -> None:
    for file in files:
        detection = detect_format(file.path, options)
        what = f"{detection.container}, format {detection.format}" if detection.format else detection.container
        st.text(f"{file.name} is read as {what}: {detection.why}.")
    with st.expander(f"How the first rows of {escaped(files[0].name)} are read", expanded=True):
        records = preview(files[0].path, options, _PREVIEWED)
        for record, place in zip(records, st.columns(_PREVIEWED), strict=False):
            with place:
                _show_record(record)


def _show_record(record: DatasetRow | Rejected) -> None:
    if isinstance(record, Rejected):
        st.text(f"Record {record.line:,} is left out: {record.reason}. {record.detail}")
    else:
        st.text(f"Record {record.line:,}, domain {record.domain}")
        conversation(record.example, height=160)


# Importing


def _import(session: Session, dataset: str, files: list[_ChosenFile], options: SourceOptions) -> None:
    reports: list[ImportReport] = []
    problem = None
    try:
        with st.spinner("Importing"):
            for file in files:
                reports.append(import_source(session.store, dataset, file.path, options, source_name=file.name))
    except CurationError as error:
        problem = error
    if problem and not reports:
        show_error(problem)
        return
    remember("last_import", (reports, problem))
    if not problem:
        remove_staged(session.workspace, [file.path for file in files])
        remember("import_round", _round() + 1)
    st.rerun()


def _show_last_import() -> None:
    reports, problem = remembered("last_import", ([], None))
    if problem:
        show_error(problem)
    if not reports:
        return
    with st.container(border=True):
        for report in reports:
            _show_report(report)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Close"):
                forget("last_import")
                st.rerun()
            link_to_page("score", "Go on: score it")


def _show_report(report: ImportReport) -> None:
    if report.already_imported:
        st.text(
            f"{report.source} is in {report.dataset} already, read in the same way: nothing was added "
            f"({report.rows:,} rows, {report.rejected:,} left out the first time)."
        )
        return
    lines = [
        f"{report.source}: {report.rows:,} rows added to {report.dataset}, {report.rejected:,} records left out "
        f"(format {report.format})."
    ]
    if len(report.domains) <= _NAMED_DOMAINS:
        lines.append("By domain: " + ", ".join(f"{name} {count:,}" for name, count in report.domains.items()))
    else:
        lines.append(f"They are of {len(report.domains):,} domains.")
    lines += [f"{count:,} left out as {reason!r}: {REASONS[reason]}" for reason, count in report.by_reason.items()]
    st.text("\n".join(lines))


main(open_session())
