"""Importing: a file's records become rows, or are skipped with a reason.

sources (hub, archives) -> unpacking -> reading (json_records, csv_records, arrow_records) -> detection -> formats
(conversations, turns), or plain_reader as the fast path for common records -> row_reading -> block_reading -> importer
"""

from .block_reading import read_blocks
from .detection import Detection, detect_format
from .importer import ImportReport, import_file, import_source, options_for
from .row_reading import preview, read_examples
from .source_options import DomainRule, SourceOptions
from .sources import DataFile, data_files, files_at

__all__ = [
    "DataFile",
    "Detection",
    "DomainRule",
    "ImportReport",
    "SourceOptions",
    "data_files",
    "detect_format",
    "files_at",
    "import_file",
    "import_source",
    "options_for",
    "preview",
    "read_blocks",
    "read_examples",
]
