"""Which files to read: uploads, a path on the server, or a dataset on the Hugging Face Hub."""

from dataclasses import replace
from pathlib import Path

import streamlit as st

from core.data import settings
from core.data.errors import SourceUnreadable, UserError
from core.importing import DataFile, files_at
from core.importing.hub import hub_name
from core.importing.listed_files import OF_ONE_FILE
from core.importing.sources import hub_files
from core.system.paths import allowed_matches, allowed_path, is_pattern
from core.workspace.import_batch import origin_text
from ui.shell.session import Session, remember, remembered
from ui.shell.staged_files import staged_upload, unpacking_folder

_UPLOAD, _PATH, _HUB = "Upload", "Path on this server", "Hugging Face Hub"
_Chosen = tuple[list[DataFile], list[UserError]]


def import_round() -> int:
    """Number of imports so far. It is part of the widget keys, so that the form is empty after each import."""
    return int(remembered("import_round", 0))


def chosen_files(session: Session, become: str) -> _Chosen:
    """Draw the controls; returns the chosen files, and an error for each that cannot be read. `become`: what several
    files become, for people."""
    where = st.segmented_control(
        "Source", [_UPLOAD, _PATH, _HUB], default=_UPLOAD, required=True, key="file_place",
        help="For large files, use a path on the server. The Hub is contacted only when you fetch a dataset.",
    )  # fmt: skip
    if where == _PATH:
        return _files_on_server(session)
    return (_fetched_files(), []) if where == _HUB else _uploaded_files(session, become)


def _files_on_server(session: Session) -> _Chosen:
    place, part = st.columns([4, 1])
    text = place.text_input(
        "Path",
        placeholder="/data/sft.jsonl or /data/*.jsonl",
        key=f"path_{import_round()}",
        help="A data file, a pattern such as /data/*.jsonl, a zip archive, or a folder written by save_to_disk. Files "
        "are read in place, so the upload limit does not apply. They must be in the workspace or in an allowed folder "
        "(LOBASS_ALLOWED_FOLDERS).",
    ).strip()
    split = part.text_input(
        "Split", placeholder="train", key=f"path_split_{import_round()}",
        help="Which split, if the dataset has several.",
    ).strip()  # fmt: skip
    if not text:
        return [], []
    if not is_pattern(text):
        return _files_at(session, allowed_path(text, session.workspace), Path(text).name, split or None), []
    files: list[DataFile] = []
    refused: list[UserError] = []
    for path in allowed_matches(text, session.workspace):
        try:
            files += _files_at(session, path, path.name, split or None)
        except OF_ONE_FILE as error:
            refused.append(error)
    return files, refused


def _uploaded_files(session: Session, become: str) -> _Chosen:
    uploads = st.file_uploader(
        f"JSON, JSONL, CSV, Parquet or Arrow, also as .gz, .zst or .zip. Several files become {become}.",
        accept_multiple_files=True,
        max_upload_size=settings.integer("max_upload_megabytes"),
        key=f"uploads_{import_round()}",
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


def _fetched_files() -> list[DataFile]:
    fields = st.columns([3, 1, 1, 1, 1], vertical_alignment="bottom")
    hub_id = fields[0].text_input(
        "Dataset id", placeholder="owner/name", key=f"hub_id_{import_round()}", help="The dataset's name on the Hub."
    ).strip()  # fmt: skip
    split = fields[1].text_input(
        "Split", placeholder="train", key=f"hub_split_{import_round()}",
        help="Full name of the split. If empty: the training split; never a validation or test split.",
    ).strip()  # fmt: skip
    config = fields[2].text_input(
        "Config", key=f"hub_config_{import_round()}", help="Which config to fetch, if the dataset has several."
    ).strip()  # fmt: skip
    revision = fields[3].text_input(
        "Revision", placeholder="main", key=f"hub_revision_{import_round()}", help="A branch, a tag or a commit."
    ).strip()  # fmt: skip
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
