"""The one button of the Export page: writes the export and its controls, and has the browser download them."""

from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pandas as pd
import streamlit as st

from core.data import settings
from core.exporting import BundleReport, ControlsReport, ExportReport, controls_folder, download_zip, export_controls
from core.selection import Selection
from ui.export.controls_form import WantedControls
from ui.export.export_report import download, show_downloads, show_places
from ui.export.wanted_export import WantedExport
from ui.kit.tables import COUNT
from ui.shell.access import may_run
from ui.shell.session import Session, remember, remembered

_START_DOWNLOAD = """
export default function ({ data }) {
  const seen = (window.lobassDownloads ??= new Set());
  if (seen.has(data.once)) return;
  seen.add(data.once);
  const press = (left) => {
    const button = document.querySelector(".st-key-download_all button");
    if (button) button.click();
    else if (left) setTimeout(press, 50, left - 1);
  };
  press(100);
}
"""
"""Presses the page's own download button, so that its address stays secret."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the button wrote last. `archive`: all of it as one zip, None if it is too large to download."""

    report: ExportReport | BundleReport
    controls: ControlsReport | None
    archive: Path | None


def export_button(
    session: Session, name: str, selection: Selection, wanted: WantedExport, controls: WantedControls | None
) -> Written | None:
    """Draw the button, and what was last written to this destination, which is returned."""
    replaces = "Overwrites" if wanted.destination.exists() else "Writes"
    pressed = st.button(
        "Export and download",
        type="primary",
        key="write_export",
        disabled=not wanted.writable or not may_run(),
        help="Everything is written to the workspace's exports folder first, then downloaded as one zip.",
    )
    st.caption(f"{replaces} this, with a manifest:")
    st.code(str(wanted.destination), language=None, wrap_lines=True)
    if pressed:
        with st.spinner("Writing..."):
            remember("written_export", write_export(session, name, selection, wanted, controls))
    written: Written | None = remembered("written_export")
    if written is None or written.report.path != wanted.destination or not written.report.path.exists():
        return None
    report = written.report
    st.success(f"{report.rows:,} rows, {report.byte_count:,} bytes written.")
    with st.container(horizontal=True):
        if written.archive and written.archive.exists():
            download("Download all (.zip)", written.archive, "download_all")
        show_downloads(report)
    if pressed and written.archive:
        _start_download()
    show_places(report)
    return written


def write_export(
    session: Session, name: str, selection: Selection, wanted: WantedExport, controls: WantedControls | None
) -> Written:
    """Write the export, its controls, and, if it is small enough to download, all of it as one zip."""
    report = wanted.write()
    beside = None
    if controls:
        beside = export_controls(
            session.store, selection, controls_folder(wanted.destination), wanted.controls_format, controls.seeds,
            controls.kinds, wanted.trainer, name,
        )  # fmt: skip
    paths = [control.path for control in beside.controls if control.path] if beside else []
    size = report.byte_count + sum(path.stat().st_size for path in paths)
    small = size <= settings.integer("download_megabytes") * 1_000_000
    return Written(report, beside, download_zip(report, beside) if small else None)


def show_controls(report: ControlsReport) -> None:
    """The written controls as a table, and the file that lists them."""
    st.success(f"{len(report.controls):,} controls written.")
    st.code(str(report.index_path), language=None)
    table = pd.DataFrame(
        [
            {
                "File": control.path.name if control.path else "none",
                "Rows": control.rows,
                "Tokens": control.tokens,
                "Target tokens": control.wanted_tokens,
                "Note": " ".join(control.notices),
                "SHA-256": control.sha256 or "",
            }
            for control in report.controls
        ]
    )
    st.dataframe(table, hide_index=True, column_config=dict.fromkeys(("Rows", "Tokens", "Target tokens"), COUNT))


def _start_download() -> None:
    start = st.components.v2.component("lobass_start_download", js=_START_DOWNLOAD)
    start(data={"once": token_hex(8)}, key="start_download", height="content")
