"""Data: bring files in, see what every record became, and put domains in order."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core import settings
from core.errors import CurationError, SourceUnreadable
from core.examples import DatasetRow, Rejected
from core.importing import Detection, DomainRule, ImportReport, SourceOptions, detect_format, import_source, preview
from core.importing.fields import FormatField
from core.importing.formats import FORMATS, format_named
from core.importing.hub import is_hub_id
from core.importing.records import REASONS
from core.importing.sources import local_files
from core.paths import allowed_path
from core.status import dataset_overview
from ui.access import may_run
from ui.dataset_view import show_dataset
from ui.demo_view import offer_demo, show_demo_result
from ui.guide import show_guide
from ui.import_report import keep_import_report, show_last_import
from ui.job_view import show_active_jobs, show_last_failure
from ui.plain_text import escaped
from ui.session import Session, open_session, remember, remembered
from ui.staged_files import remove_staged, staged_upload
from ui.widgets import conversation, show_error

_UPLOAD, _PATH, _HUB = "Upload", "Path on this server", "Hugging Face Hub"
_FROM_FIELD, _ONE_NAME, _FILE_NAME = "A field of each record", "One name for all rows", "The file's name"
_PREVIEWED = 3


@dataclass(frozen=True, slots=True)
class _ChosenFile:
    """A file to import, and the name its owner knows it by."""

    path: Path
    name: str


def main(session: Session) -> None:
    """The page."""
    st.header("Data")
    show_guide(session, "data")
    datasets = dataset_overview(session.store)
    show_last_failure(session)
    show_active_jobs(session)
    if may_run():
        _show_ways_to_begin(session, datasets)
    elif not datasets:
        st.info("There is no data yet. Somebody who may run has to import some.")
    if datasets:
        st.subheader("Datasets")
        for dataset in datasets:
            show_dataset(session, dataset, expanded=len(datasets) == 1)


def _show_ways_to_begin(session: Session, datasets: list[dict[str, Any]]) -> None:
    if not datasets:
        offer_demo(session)
    show_demo_result(session, [dataset["name"] for dataset in datasets])
    st.subheader("Import a file")
    show_last_import()
    _import_section(session, datasets)


def _import_section(session: Session, datasets: list[dict[str, Any]]) -> None:
    try:
        files = _chosen_files(session)
        if not files:
            return
        options = _options(files[0].path)
        _show_detection(files, options)
        _import_form(session, datasets, files, options)
        _show_preview(files[0], options)
    except CurationError as error:
        show_error(error)


def _import_form(
    session: Session, datasets: list[dict[str, Any]], files: list[_ChosenFile], options: SourceOptions
) -> None:
    name, action = st.columns([3, 1], vertical_alignment="bottom")
    stem = files[0].name.split(".")[0]
    dataset = name.text_input("Into the dataset", stem, key=f"dataset_{_round()}_{files[0].path}").strip()
    pressed = action.button("Import", type="primary", width="stretch", disabled=not dataset)
    rows = next((item["rows"] for item in datasets if item["name"] == dataset), None)
    st.caption("This makes a new dataset." if rows is None else f"This adds to a dataset of {rows:,} rows.")
    if pressed:
        _import(session, dataset, files, options)


# What to import


def _round() -> int:
    """Counts imports: part of the form's keys, so that it is empty again after each."""
    return int(remembered("import_round", 0))


def _chosen_files(session: Session) -> list[_ChosenFile]:
    where = st.segmented_control(
        "Where the file is", [_UPLOAD, _PATH, _HUB], default=_UPLOAD, required=True, key="file_place",
        help="Large files are read best where they lie on the server; the Hub is asked only if you name a dataset.",
    )  # fmt: skip
    if where == _PATH:
        path = st.text_input(
            "Path",
            placeholder="/data/sft.jsonl",
            key=f"path_{_round()}",
            help="The file is read where it is, so it may be larger than an upload. It lies in the workspace, or in "
            "a folder that whoever runs this dashboard allows (LOBASS_ALLOWED_FOLDERS).",
        ).strip()
        return [_ChosenFile(allowed_path(path, session.workspace), Path(path).name)] if path else []
    if where == _HUB:
        return _hub_files()
    uploads = st.file_uploader(
        "JSON, JSONL, CSV or Parquet; .gz and .zst too. Several files become one dataset.",
        accept_multiple_files=True,
        max_upload_size=settings.integer("max_upload_megabytes"),
        key=f"uploads_{_round()}",
        help="Every record becomes a row, or is left out with a reason that is counted and shown.",
    )
    return [_ChosenFile(staged_upload(session.workspace, upload), upload.name) for upload in uploads or []]


def _hub_files() -> list[_ChosenFile]:
    fields = st.columns([3, 1, 1, 1], vertical_alignment="bottom")
    hub_id = fields[0].text_input("Dataset id", placeholder="owner/name", key=f"hub_id_{_round()}").strip()
    split = fields[1].text_input(
        "Split", placeholder="train", key=f"hub_split_{_round()}",
        help="The files whose path names it are fetched. Left empty: those of train, or all where none is named so.",
    ).strip()  # fmt: skip
    revision = (
        fields[2]
        .text_input("Revision", placeholder="main", key=f"hub_revision_{_round()}", help="A branch, a tag or a commit.")
        .strip()
    )
    wanted = (hub_id, split, revision)
    if fields[3].button("Fetch", disabled=not hub_id, width="stretch"):
        if not is_hub_id(hub_id):
            raise SourceUnreadable(f"{hub_id!r} is no id of a dataset on the Hub. Write it as owner/name.")
        with st.spinner("Fetching"):
            remember("hub_files", (wanted, local_files([hub_id], revision or None, split or None)))
    fetched, files = remembered("hub_files", (None, []))
    return [_ChosenFile(file, file.name) for file in files] if wanted == fetched else []


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


def _show_detection(files: list[_ChosenFile], options: SourceOptions) -> None:
    for file in files:
        found = detect_format(file.path, options)
        if found.format:
            st.text(f"{file.name} is read as {found.container}, format {found.format}: {found.why}.")
        else:
            st.text(
                f"{file.name} is read as {found.container}; no format fits it as it is: {found.why}. "
                "Choose a format above to say which column is which of its fields."
            )


def _show_preview(file: _ChosenFile, options: SourceOptions) -> None:
    with st.expander(f"How the first rows of {escaped(file.name)} are read", expanded=True):
        records = preview(file.path, options, _PREVIEWED)
        for record, place in zip(records, st.columns(_PREVIEWED), strict=False):
            with place:
                _show_record(record)


def _show_record(record: DatasetRow | Rejected) -> None:
    if isinstance(record, Rejected):
        found = f" ({record.detail})" if record.detail else ""
        st.text(f"Record {record.line:,} is left out: {record.reason}{found}. {REASONS[record.reason]}")
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
    keep_import_report(reports, problem)
    if not problem:
        remove_staged(session.workspace, [file.path for file in files])
        remember("import_round", _round() + 1)
    st.rerun()


main(open_session())
