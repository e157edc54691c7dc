"""Importing: a file's records become rows, or are left out with a reason.

sources / hub -> unpacking -> reading (json_records, csv_records, arrow_records) -> detection -> formats
(conversations, turns), or for the common record plain_records -> row_reading -> importer
"""

from core.importing.detection import Detection, detect_format
from core.importing.importer import ImportReport, check_domain_field, import_source
from core.importing.row_reading import preview, read_blocks, read_examples
from core.importing.source_options import DomainRule, SourceOptions

__all__ = [
    "Detection",
    "DomainRule",
    "ImportReport",
    "SourceOptions",
    "check_domain_field",
    "detect_format",
    "import_source",
    "preview",
    "read_blocks",
    "read_examples",
]
