"""Shared parts of the export forms: the preview, and the paths, digest and downloads of what was written."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from core.data import settings
from ui.shell.page_queries import for_downloader

PREVIEW_ROWS = 3
_PREVIEW_CHARACTERS = 2_000


def show_records(records: Iterable[bytes]) -> None:
    """Records as they will be written; long ones are shortened on the page only."""
    for record in records:
        text = record.decode("utf-8", "replace")
        cut = text[:_PREVIEW_CHARACTERS] + ("..." if len(text) > _PREVIEW_CHARACTERS else "")
        st.code(cut, language=None, wrap_lines=True)


def show_files(path: Path, manifest: Path, sha256: str, byte_count: int) -> None:
    """Paths, digest, and downloads of a file and its manifest. A folder has no download."""
    st.caption("Folder and manifest" if path.is_dir() else "File and manifest")
    st.code(f"{path}\n{manifest}", language=None)
    st.caption("SHA-256 of train.jsonl in the folder" if path.is_dir() else "SHA-256 of the file")
    st.code(sha256, language=None)
    limit = settings.integer("download_megabytes")
    with st.container(horizontal=True):
        if path.is_file() and byte_count <= limit * 1_000_000:
            _download("Download file", path, "download_data")
        _download("Download manifest", manifest, "download_manifest")
    if path.is_dir():
        st.text("A folder cannot be downloaded here. Write a zip file, or copy the folder from the path above.")
    elif byte_count > limit * 1_000_000:
        st.text(f"The file is larger than {limit:,} MB, so it cannot be downloaded here. Copy it from the path above.")


def _download(label: str, path: Path, key: str) -> None:
    """A download button for a file."""
    st.download_button(
        label,
        data=for_downloader(path.read_bytes),
        file_name=path.name,
        mime="application/octet-stream",
        key=key,
        on_click="ignore",
    )
