"""A saved selection as Python programs use it: its rows as tables, data sets and files."""

import json
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.errors import ExportFailed
from ..evidence.selection_evidence import evidence_fields
from ..exporting import (
    BundleReport,
    ExportReport,
    bundle_records,
    export_bundle,
    export_selection,
    finding_line,
    preflight,
)
from ..exporting.score_text import SCORES_FIELD
from ..selection import Selection
from ..store import Store

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True, slots=True)
class SavedSelection:
    """A selection of an open workspace: the rows and scored tokens that its recipe kept, and `notices` where a request
    could not be met. Every method decides on the rows anew, as the workspace is then."""

    name: str
    recipe: Selection
    kept_rows: int
    kept_tokens: int
    notices: tuple[str, ...]
    _reading: Callable[[], AbstractContextManager[Store]] = field(repr=False, compare=False)
    _workspace: Path = field(repr=False, compare=False)

    def to_arrow(self, with_scores: bool = True) -> pa.Table:
        """The kept records in the dataset's order, a column for each of their fields (nested values as JSON text), and
        with their losses and scores as columns named lobass_...: the table that `export` writes as Parquet."""
        with tempfile.TemporaryDirectory(prefix="lobass-") as folder:
            path = Path(folder, "kept.parquet")
            self.export(path, with_scores=with_scores)
            return pq.read_table(path, memory_map=False)

    def to_pandas(self, with_scores: bool = True) -> pd.DataFrame:
        """`to_arrow` as a DataFrame."""
        frame: pd.DataFrame = self.to_arrow(with_scores).to_pandas()
        return frame

    def to_dataset(self, trainer: str = "trl", with_scores: bool = False) -> "datasets.Dataset":
        """The kept rows in memory as a trainer reads them ("plain": the records as they were), for `SFTTrainer`, say.

        Rows that the trainer would refuse are left out, with a warning that counts them. `with_scores` adds line,
        row_number, example_id, losses and scores, as columns named lobass_... Raises `ExportFailed`, also if the
        package datasets is missing.
        """
        try:
            from datasets import Dataset
        except ImportError as error:
            raise ExportFailed(
                "The package datasets is not installed. Install it with: pip install 'lobass[datasets]'"
            ) from error
        with self._reading() as store:
            found = preflight(store, self.recipe, trainer)
            rows: list[dict[str, Any]] = []
            for line, scores in bundle_records(store, self.recipe, found):
                added = {f"{SCORES_FIELD}_{name}": value for name, value in scores.items()} if with_scores else {}
                rows.append(json.loads(line) | added)
        for finding in found.left_out:
            warnings.warn(f"Left out: {finding_line(finding)}.", stacklevel=2)
        return Dataset.from_list(rows)

    def export(
        self, path: str | Path, format: str | None = None, with_scores: bool = False, spreadsheet_guard: bool = False
    ) -> ExportReport:
        """Write the kept records to a file, and the manifest that makes it again beside it; see `export_selection`."""
        with self._reading() as store:
            evidence = evidence_fields(self._workspace, self.recipe)
            return export_selection(
                store, self.recipe, Path(path), format, with_scores, spreadsheet_guard, self.name, evidence
            )

    def export_bundle(self, path: str | Path, trainer: str) -> BundleReport:
        """Write a trainer's bundle, a folder or a .zip: data, config, command to run and manifest."""
        with self._reading() as store:
            evidence = evidence_fields(self._workspace, self.recipe)
            return export_bundle(store, self.recipe, Path(path), trainer, self.name, evidence)
