"""What the options of the Export page describe: where it goes and how it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.exporting import BundleReport, ExportReport


@dataclass(frozen=True, slots=True)
class WantedExport:
    """An export as the options describe it. `write` writes it; `controls_format` and `trainer` are the form of its
    controls; `writable`: whether there is a row to write."""

    destination: Path
    write: Callable[[], ExportReport | BundleReport]
    controls_format: str
    trainer: str | None = None
    writable: bool = True
