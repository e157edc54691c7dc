"""Exporting: the kept records as they were, or as a trainer reads them, with the manifest that reproduces them.

exporter -> one file; bundles -> a trainer's data, config and command (preflight says which rows it would refuse);
controls -> what a selection has to beat, at an equal token budget
hub_push -> the written files and a dataset card, on the Hub
"""

from .bundle_plan import TRAINER_REASONS
from .bundle_readme import finding_line
from .bundles import BundleReport, bundle_records, export_bundle
from .controls import (
    CONTROLS,
    DEFAULT_SEEDS,
    ControlsReport,
    control_selection,
    control_selections,
    controls_folder,
    export_controls,
)
from .download_zip import download_zip
from .exporter import ExportReport, export_rows, export_selection, exports_folder
from .hub_push import HubTarget, PushReport, check_target, push_export, push_objection
from .manifest import selection_from_manifest
from .preflight import Preflight, preflight
from .record_schemas import mixed_sentence, record_schemas
from .trainers import DEFAULT_TRAINER, TRAINERS
from .writing import EXPORT_FORMATS, format_for

__all__ = [
    "CONTROLS",
    "DEFAULT_SEEDS",
    "DEFAULT_TRAINER",
    "EXPORT_FORMATS",
    "TRAINERS",
    "TRAINER_REASONS",
    "BundleReport",
    "ControlsReport",
    "ExportReport",
    "HubTarget",
    "Preflight",
    "PushReport",
    "bundle_records",
    "check_target",
    "control_selection",
    "control_selections",
    "controls_folder",
    "download_zip",
    "export_bundle",
    "export_controls",
    "export_rows",
    "export_selection",
    "exports_folder",
    "finding_line",
    "format_for",
    "mixed_sentence",
    "preflight",
    "push_export",
    "push_objection",
    "record_schemas",
    "selection_from_manifest",
]
