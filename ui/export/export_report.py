"""Shared parts of the export forms: the preview, and the paths, digest and downloads of what was written."""

from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from core.data import settings
from core.exporting import BundleReport, ExportReport
from ui.shell.page_queries import for_downloader

PREVIEW_ROWS = 3
_PREVIEW_CHARACTERS = 2_000


def show_records(records: Iterable[bytes]) -> None:
    """Records as they will be written; long ones are shortened on the page only."""
    for record in records:
        text = record.decode("utf-8", "replace")
        cut = text[:_PREVIEW_CHARACTERS] + ("..." if len(text) > _PREVIEW_CHARACTERS else "")
        st.code(cut, language=None, wrap_lines=True)


def show_downloads(report: ExportReport | BundleReport) -> None:
    """Downloads of the single file, if it is not too large, and of its manifest. A folder has none of its own."""
    if report.path.is_file() and report.byte_count <= settings.integer("download_megabytes") * 1_000_000:
        download("Download file", report.path, "download_data")
    download("Download manifest", report.manifest_path, "download_manifest")


def show_places(report: ExportReport | BundleReport) -> None:
    """Path of the manifest, the digest, and why there may be no download."""
    limit = settings.integer("download_megabytes")
    if report.byte_count > limit * 1_000_000:
        st.text(f"The file is larger than {limit:,} MB, so it cannot be downloaded here. Copy it from the path above.")
    with st.expander("Manifest and SHA-256"):
        st.code(str(report.manifest_path), language=None, wrap_lines=True)
        st.caption("SHA-256 of train.jsonl in the folder" if report.path.is_dir() else "SHA-256 of the file")
        st.code(report.sha256, language=None, wrap_lines=True)


def download(label: str, path: Path, key: str) -> None:
    """A download button for a file."""
    st.download_button(
        label,
        data=for_downloader(path.read_bytes),
        file_name=path.name,
        mime="application/octet-stream",
        key=key,
        on_click="ignore",
    )
