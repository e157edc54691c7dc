"""A trial's folder in the workspace: its frozen plan, its held-out rows, and the results of its models.

trials/NAME/trial.json          the plan with its fingerprint, the base and encoding it holds for, its cost
trials/NAME/held_out.parquet    example_id, domain and group of the rows that no model is trained on
trials/NAME/cells/CELL.parquet  a model's losses on these rows; CELL.json: what its training took, written last
trials/NAME/models/CELL/        the model, if the trial keeps models
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.errors import JsonInvalid, NameTaken, NotFound, TrialInvalid
from ..data.version import COMMAND
from ..system.atomic_files import replaced_durably, write_durably
from ..system.untrusted_json import read_json_object
from ..system.workspace_files import make_private_folder
from .cell_results import CELLS_FOLDER
from .result_fields import TrialResults
from .trial import Cell, TrialPlan, cells
from .trial_results import trial_results

PLAN_FILE = "trial.json"
_HELD_OUT_FILE = "held_out.parquet"
_HELD_OUT_SCHEMA = pa.schema([("example_id", pa.string()), ("domain", pa.string()), ("group", pa.int64())])
_RESULTS: dict[Path, tuple[Any, TrialResults]] = {}


@dataclass(frozen=True)
class Trial:
    """A trial as planned. `fixed`: dataset, base (ModelSpec fields), encoding, device, and what the probe measured."""

    folder: Path
    plan: TrialPlan
    fixed: dict[str, Any]
    held_out: pd.DataFrame

    @property
    def name(self) -> str:
        return self.plan.name

    def is_done(self, cell: Cell) -> bool:
        """Whether a model's results are there."""
        return self.result_path(cell, "json").exists() and self.result_path(cell, "parquet").exists()

    def missing(self) -> list[Cell]:
        """The models still to be trained or evaluated, in the plan's order."""
        return [cell for cell in cells(self.plan) if not self.is_done(cell)]

    def result_path(self, cell: Cell, ending: str) -> Path:
        """Where a model's results lie."""
        return self.folder / CELLS_FOLDER / f"{cell.name}.{ending}"

    def model_folder(self, cell: Cell) -> Path:
        """Where a model lies, if the trial keeps models."""
        return self.folder / "models" / cell.name

    def save_result(self, cell: Cell, losses: pa.Table, measured: dict[str, Any]) -> None:
        """Keep a model's losses on the held-out rows, and what its training took; repeating changes nothing."""
        (self.folder / CELLS_FOLDER).mkdir(exist_ok=True)
        with replaced_durably(self.result_path(cell, "parquet")) as path:
            pq.write_table(losses, path)
        fields = {"arm": cell.arm, "ratio": cell.ratio, "draw": cell.draw, "seed": cell.seed, **measured}
        write_durably(self.result_path(cell, "json"), [json.dumps(fields, indent=1).encode()])

    def results(self) -> TrialResults:
        """What the trial has shown so far; computed once for the same files, since pages ask again and again.

        Raises `TrialInvalid` if its files do not fit.
        """
        files = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in self.folder.glob(f"{CELLS_FOLDER}/*")))
        stamp = (self.plan.fingerprint, tuple(arm.name for arm in self.plan.arms), files)
        known = _RESULTS.get(self.folder)
        if known is None or known[0] != stamp:
            known = _RESULTS[self.folder] = (stamp, trial_results(self.plan, self.folder, self.held_out))
        return known[1]


def trial_folder(workspace: Path, name: str) -> Path:
    """The folder of a trial of that name."""
    return workspace / "trials" / name


def trial_names(workspace: Path) -> list[str]:
    """Names of the trials that were planned."""
    return sorted(path.parent.name for path in (workspace / "trials").glob(f"*/{PLAN_FILE}"))


def save_trial(workspace: Path, plan: TrialPlan, fixed: dict[str, Any], held_out: pd.DataFrame) -> Trial:
    """Fix a trial: its held-out rows first, its plan last. Raises `NameTaken` if there is another one of that name."""
    folder = trial_folder(workspace, plan.name)
    if (folder / PLAN_FILE).exists():
        known = load_trial(workspace, plan.name)
        if known.plan.fingerprint != plan.fingerprint:
            raise NameTaken(f"A trial named {plan.name!r} has another plan. Choose another name.")
        return known
    table = pa.Table.from_pandas(held_out, _HELD_OUT_SCHEMA, preserve_index=False)
    make_private_folder(folder.parent)
    make_private_folder(folder)
    with replaced_durably(folder / _HELD_OUT_FILE) as path:
        pq.write_table(table, path)
    return _write_plan(folder, plan, fixed, held_out)


def change_plan(trial: Trial, plan: TrialPlan) -> Trial:
    """Replace the plan by one with further exploratory arms."""
    if plan.fingerprint != trial.plan.fingerprint:
        raise TrialInvalid(f"The plan of {trial.name!r} is fixed. Only exploratory arms can be added.")
    return _write_plan(trial.folder, plan, trial.fixed, trial.held_out)


def load_trial(workspace: Path, name: str) -> Trial:
    """The trial of that name. Raises `NotFound` or `TrialInvalid`."""
    folder = trial_folder(workspace, name)
    if name not in trial_names(workspace):
        known = ", ".join(trial_names(workspace))
        raise NotFound(
            f"No trial is named {name!r}. "
            + (f"There are: {known}." if known else f"Plan one with: {COMMAND} trial plan")
        )
    try:
        fixed = read_json_object(folder / PLAN_FILE)
        held_out = pq.read_table(folder / _HELD_OUT_FILE, schema=_HELD_OUT_SCHEMA).to_pandas()
    except (OSError, pa.ArrowException, JsonInvalid) as error:
        raise TrialInvalid(f"The trial in {folder} is damaged ({error}). Plan it again under another name.") from error
    return Trial(folder, TrialPlan.from_fields(fixed.pop("plan", None)), fixed, held_out)


def _write_plan(folder: Path, plan: TrialPlan, fixed: dict[str, Any], held_out: pd.DataFrame) -> Trial:
    text = json.dumps({"plan": plan.to_fields(), **fixed}, ensure_ascii=False, indent=1)
    write_durably(folder / PLAN_FILE, [text.encode()])
    return Trial(folder, plan, fixed, held_out)
