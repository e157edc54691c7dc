"""Importing: a file's records become rows, or are left out with a reason.

sources / hub -> unpacking -> reading (json_records, table_records) -> detection -> formats (turns) -> importer
"""

from core.importing.detection import Detection, detect_format
from core.importing.importer import ImportReport, check_domain_field, import_source, preview, read_examples
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
    "read_examples",
]
