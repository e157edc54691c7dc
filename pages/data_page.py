"""Data: import files, see which records were imported or skipped, and rename domains."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from core.data import settings
from core.data.errors import SourceUnreadable, UserError
from core.importing import DataFile, ImportReport, SourceOptions, files_at, import_file
from core.importing.hub import hub_name
from core.importing.sources import hub_files
from core.system.paths import allowed_path
from core.workspace.import_batch import OF_ONE_FILE, origin_text
from core.workspace.status import dataset_overview
from ui.data.dataset_view import show_dataset
from ui.data.demo_view import offer_demo, show_demo_result
from ui.data.import_report import keep_import_report, show_last_import
from ui.data.source_form import FileGroup, group_files, show_preview, source_form
from ui.kit.job_view import show_active_jobs, show_last_failure
from ui.kit.status_line import show_status_line
from ui.kit.widgets import show_error
from ui.shell.access import may_run
from ui.shell.session import Session, open_session, remember, remembered
from ui.shell.staged_files import remove_staged, staged_upload, unpacking_folder

_UPLOAD, _PATH, _HUB = "Upload", "Path on this server", "Hugging Face Hub"


def main(session: Session) -> None:
    """The page."""
    show_status_line(session, "data")
    datasets = dataset_overview(session.store)
    show_last_failure(session)
    show_active_jobs(session)
    if may_run():
        _show_start(session, datasets)
    elif not datasets:
        st.info("No data yet. A user with the role 'run' has to import some.")
    if datasets:
        st.subheader("Datasets")
        for dataset in datasets:
            show_dataset(session, dataset, expanded=len(datasets) == 1)


def _show_start(session: Session, datasets: list[dict[str, Any]]) -> None:
    if not datasets:
        offer_demo(session)
    show_demo_result(session, [dataset["name"] for dataset in datasets])
    st.subheader("Import files")
    show_last_import()
    _import_section(session, datasets)


def _import_section(session: Session, datasets: list[dict[str, Any]]) -> None:
    try:
        chosen, refused = _chosen_files(session)
    except UserError as error:
        show_error(error)
        return
    groups, unreadable = group_files(chosen)
    for problem in (*refused, *unreadable):
        show_error(problem)
    if not groups:
        return
    options = [source_form(group, is_only=len(groups) == 1) for group in groups]
    _import_form(session, datasets, list(zip(groups, options, strict=True)))
    for group, chosen_options in zip(groups, options, strict=True):
        show_preview(group.files[0], chosen_options)


def _import_form(
    session: Session, datasets: list[dict[str, Any]], groups: list[tuple[FileGroup, SourceOptions]]
) -> None:
    first = groups[0][0].files[0]
    name, action = st.columns([3, 1], vertical_alignment="bottom")
    stem = first.name.split("/")[0].split(".")[0]
    dataset = name.text_input("Add to dataset", stem, key=f"dataset_{_round()}_{first.path}").strip()
    pressed = action.button("Import", type="primary", width="stretch", disabled=not dataset)
    rows = next((item["rows"] for item in datasets if item["name"] == dataset), None)
    st.caption("Creates a new dataset." if rows is None else f"Adds to the existing dataset of {rows:,} rows.")
    if pressed:
        _import(session, dataset, [(file, options) for group, options in groups for file in group.files])


# What to import


def _round() -> int:
    """Number of imports so far. It is part of the widget keys, so that the form is empty after each import."""
    return int(remembered("import_round", 0))


def _chosen_files(session: Session) -> tuple[list[DataFile], list[UserError]]:
    """The files to import, and an error for each chosen file that cannot be imported."""
    where = st.segmented_control(
        "Source", [_UPLOAD, _PATH, _HUB], default=_UPLOAD, required=True, key="file_place",
        help="For large files, use a path on the server. The Hub is contacted only when you fetch a dataset.",
    )  # fmt: skip
    if where == _PATH:
        place, part = st.columns([4, 1])
        path = place.text_input(
            "Path",
            placeholder="/data/sft.jsonl",
            key=f"path_{_round()}",
            help="A data file, a zip archive, or a folder written by save_to_disk. It is read in place, so the upload "
            "limit does not apply. The path must be in the workspace or in an allowed folder "
            "(LOBASS_ALLOWED_FOLDERS).",
        ).strip()
        split = part.text_input(
            "Split", placeholder="train", key=f"path_split_{_round()}", help="Which split, if the dataset has several."
        ).strip()
        if not path:
            return [], []
        return _files_at(session, allowed_path(path, session.workspace), Path(path).name, split or None), []
    if where == _HUB:
        return _hub_files(), []
    uploads = st.file_uploader(
        "JSON, JSONL, CSV, Parquet or Arrow, also as .gz, .zst or .zip. Several files go into one dataset.",
        accept_multiple_files=True,
        max_upload_size=settings.integer("max_upload_megabytes"),
        key=f"uploads_{_round()}",
        help="Every record becomes a row or is skipped with a reason. Reasons are counted and shown.",
    )
    files: list[DataFile] = []
    refused: list[UserError] = []
    for upload in uploads or []:
        try:
            files += _files_at(session, staged_upload(session.workspace, upload), upload.name)
        except OF_ONE_FILE as error:
            refused.append(error)
    return files, refused


def _files_at(session: Session, path: Path, name: str, split: str | None = None) -> list[DataFile]:
    """The data files at a path, each checked to be in an allowed folder."""
    files = files_at(path, unpacking_folder(session.workspace), split, name)
    return [replace(file, path=allowed_path(str(file.path), session.workspace)) for file in files]


def _hub_files() -> list[DataFile]:
    fields = st.columns([3, 1, 1, 1, 1], vertical_alignment="bottom")
    hub_id = fields[0].text_input("Dataset id", placeholder="owner/name", key=f"hub_id_{_round()}").strip()
    split = fields[1].text_input(
        "Split", placeholder="train", key=f"hub_split_{_round()}",
        help="Full name of the split. If empty: the training split; never a validation or test split.",
    ).strip()  # fmt: skip
    config = fields[2].text_input(
        "Config", key=f"hub_config_{_round()}", help="Which config to fetch, if the dataset has several."
    ).strip()  # fmt: skip
    revision = (
        fields[3]
        .text_input("Revision", placeholder="main", key=f"hub_revision_{_round()}", help="A branch, a tag or a commit.")
        .strip()
    )
    wanted = (hub_id, split, config, revision)
    if fields[4].button("Fetch", disabled=not hub_id, width="stretch"):
        if hub_name(hub_id) is None:
            raise SourceUnreadable(f"{hub_id!r} is not a Hub dataset id. Write it as owner/name.")
        with st.spinner("Fetching..."):
            remember("hub_files", (wanted, hub_files(hub_id, revision or None, split or None, config or None)))
    fetched, files = remembered("hub_files", (None, []))
    if wanted != fetched:
        return []
    for origin in dict.fromkeys(origin_text(file.origin) for file in files):
        st.text(origin)
    return list(files)


# Importing


def _import(session: Session, dataset: str, files: list[tuple[DataFile, SourceOptions]]) -> None:
    """Import each file on its own, so that one unusable file does not stop the others."""
    reports: list[ImportReport] = []
    problems: list[UserError] = []
    with st.spinner("Importing..."):
        for file, options in files:
            try:
                reports.append(import_file(session.store, dataset, file, options))
                remove_staged(session.workspace, [file.path])
            except OF_ONE_FILE as error:
                problems.append(error)
            except UserError as error:
                problems.append(error)
                break
    if not reports:
        for problem in problems:
            show_error(problem)
        return
    keep_import_report(reports, problems)
    remember("import_round", _round() + 1)
    st.rerun()


main(open_session())
