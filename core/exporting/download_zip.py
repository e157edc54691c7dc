"""One zip of everything that an export wrote: its data or bundle, its manifest and its controls."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from ..system.disk_errors import translate_disk_errors
from ..system.durable_file import DurableFile
from ..system.paths import plain_name
from .bundles import PIECE_BYTES, BundleReport, write_entry
from .controls import ControlsReport
from .exporter import ExportReport
from .manifest import manifest_path


@translate_disk_errors("The zip of the export")
def download_zip(report: ExportReport | BundleReport, controls: ControlsReport | None = None) -> Path:
    """Write the zip beside the export and return its path; a bundle that is a zip itself, without controls, is that.

    It is complete or not there, and equal exports give equal bytes. Raises `WriteFailed`.
    """
    is_zip = isinstance(report, BundleReport) and report.path.is_file()
    if is_zip and controls is None:
        return report.path
    stem = report.path.stem if is_zip else report.path.name
    path = report.path.with_name(f"{stem}.all.zip")
    top = plain_name(stem, "export")
    with DurableFile(path) as file:
        with zipfile.ZipFile(cast(BinaryIO, file), "w") as archive:
            if is_zip:
                _copy_entries(archive, top, report.path)
            else:
                for source in _files(report):
                    write_entry(archive, top, source.name, _pieces(source))
            for source in _control_files(controls) if controls else ():
                write_entry(archive, top, f"controls/{source.name}", _pieces(source))
        file.finish()
        file.replace()
    return path


def _files(report: ExportReport | BundleReport) -> list[Path]:
    return sorted(report.path.iterdir()) if report.path.is_dir() else [report.path, report.manifest_path]


def _control_files(controls: ControlsReport) -> Iterator[Path]:
    yield controls.index_path
    for control in controls.controls:
        if control.path:
            yield control.path
            yield manifest_path(control.path)


def _copy_entries(archive: zipfile.ZipFile, top: str, bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as source:
        for entry in source.infolist():
            with source.open(entry) as stream:
                write_entry(archive, top, entry.filename.partition("/")[2], _parts(stream))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from _parts(file)


def _parts(stream: IO[bytes]) -> Iterator[bytes]:
    while part := stream.read(PIECE_BYTES):
        yield part
