"""Exporting: the kept records as they were, in a file that a trainer loads, with the manifest that reproduces it."""

from core.exporting.exporter import ExportReport, export_rows, export_selection, exports_folder
from core.exporting.manifest import selection_from_manifest
from core.exporting.writing import FORMATS, Format

__all__ = [
    "FORMATS",
    "ExportReport",
    "Format",
    "export_rows",
    "export_selection",
    "exports_folder",
    "selection_from_manifest",
]
