"""Reads what the models of a trial lost on its held-out rows: two files a cell, joined by example_id."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.errors import JsonInvalid, TrialInvalid
from ..data.json_types import checked
from ..system.untrusted_json import read_json_object
from .trial import Cell, TrialPlan, cells
from .trial_statistics import Floats, Integers

CELLS_FOLDER = "cells"
_LOSSES = ("example_id", "nll_sum", "token_count", "end_nll_sum", "end_token_count")
_MEASURED = ("steps", "input_tokens", "scored_tokens", "seconds", "passes")
_NUMBER: Any = float | None


@dataclass(frozen=True, slots=True)
class CellResult:
    """One trained model's losses on held-out rows, by example_id: nll_sum [nats], token_count, end_nll_sum,
    end_token_count; and what its training took, None where it was trained elsewhere: steps, input_tokens,
    scored_tokens, seconds, and passes over its rows."""

    losses: pd.DataFrame
    measured: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class HeldOutLosses:
    """Losses of all readable cells on the same held-out rows, in one order. `rows`: example_id, domain, group,
    token_count, end_token_count. `nll_sum` and `end_nll_sum` [rows] by cell, in nats; the latter is empty if a cell has
    no end-of-turn. `skipped_rows`: held-out rows without a loss under every model. `failed`: cells without any."""

    rows: pd.DataFrame
    nll_sum: Mapping[Cell, Floats]
    end_nll_sum: Mapping[Cell, Floats]
    skipped_rows: int
    failed: tuple[Cell, ...]


def read_cells(plan: TrialPlan, folder: Path) -> dict[Cell, CellResult]:
    """The finished cells of a trial's folder, in the plan's order; a cell without both of its files is not finished.

    Raises `TrialInvalid` for files that cannot be read or are another cell's.
    """
    found = {}
    for cell in cells(plan):
        table, fields = (folder / CELLS_FOLDER / f"{cell.name}.{ending}" for ending in ("parquet", "json"))
        if table.exists() and fields.exists():
            found[cell] = CellResult(_read_losses(table), _read_measured(fields, cell))
    return found


def held_out_losses(results: Mapping[Cell, CellResult], held_out: pd.DataFrame) -> HeldOutLosses:
    """The cells' losses on the held-out rows: example_id, domain, group (near-duplicates share a number; missing: a
    group of its own). Rows with the same example_id count once.

    Raises `TrialInvalid` if two cells scored different tokens of a row, no row has a loss under every model, or the
    cells are of other rows.
    """
    rows = held_out.drop_duplicates("example_id", ignore_index=True)[["example_id", "domain", "group"]]
    rows["example_id"] = rows["example_id"].astype(str)
    tables = {cell: result.losses.reindex(rows["example_id"]) for cell, result in results.items()}
    if tables and not any(table["token_count"].notna().any() for table in tables.values()):
        raise TrialInvalid("The results have none of these held-out rows. Give the rows that were evaluated.")
    usable = {cell: _is_usable(table) for cell, table in tables.items()}
    failed = tuple(cell for cell, mask in usable.items() if not mask.any())
    kept = {cell: table for cell, table in tables.items() if cell not in failed}
    everywhere = np.logical_and.reduce([usable[cell] for cell in kept]) if kept else np.zeros(len(rows), bool)
    if kept and not everywhere.any():
        raise TrialInvalid("No held-out row has a loss under every model of the trial. Evaluate its cells again.")
    kept = {cell: table[everywhere] for cell, table in kept.items()}
    rows = rows[everywhere].reset_index(drop=True).assign(group=_numbered(rows["group"][everywhere]))
    has_end = bool(kept) and all(table["end_nll_sum"].notna().any() for table in kept.values())
    rows["token_count"] = _common_count("token_count", kept)
    rows["end_token_count"] = _common_count("end_token_count", kept) if has_end else 0
    nll_sums = {cell: table["nll_sum"].to_numpy(float) for cell, table in kept.items()}
    end_sums = {cell: table["end_nll_sum"].fillna(0).to_numpy(float) for cell, table in kept.items() if has_end}
    return HeldOutLosses(rows, nll_sums, end_sums, int((~everywhere).sum()) if kept else 0, failed)


def _read_losses(path: Path) -> pd.DataFrame:
    try:
        table: pd.DataFrame = pq.read_table(path, columns=list(_LOSSES)).to_pandas()
        table = table.astype({"example_id": str, **dict.fromkeys(_LOSSES[1:], float)})
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise TrialInvalid(f"The losses in {path} cannot be read. Remove it and evaluate its cell again.") from error
    return table.drop_duplicates("example_id").set_index("example_id")


def _read_measured(path: Path, cell: Cell) -> dict[str, float | None]:
    try:
        fields = read_json_object(path)
        measured = {name: checked(fields.get(name), _NUMBER, str(path), field=name) for name in _MEASURED}
    except (OSError, JsonInvalid) as error:
        raise TrialInvalid(f"{path} cannot be read ({error}). Remove the file and train its cell again.") from error
    if any(fields.get(part) != value for part, value in asdict(cell).items()):
        raise TrialInvalid(f"{path} is the result of another cell. Remove the file and train its cell again.")
    return measured


def _is_usable(table: pd.DataFrame) -> Any:
    return np.isfinite(table["nll_sum"].to_numpy()) & (table["token_count"].to_numpy() > 0)


def _numbered(group: pd.Series) -> Integers:
    """Group numbers from 0; rows without a group get one each."""
    alone = [("row", number) for number in range(len(group))]
    named = [own if pd.isna(name) else ("group", name) for name, own in zip(group, alone, strict=True)]
    return pd.factorize(pd.Series(named, dtype=object))[0].astype(np.int64)


def _common_count(count: str, tables: Mapping[Cell, pd.DataFrame]) -> Integers:
    """The tokens of each row, which all cells must have counted alike; a row without an end-of-turn has 0 of those."""
    columns = {cell: table[count].fillna(0).to_numpy(np.int64) for cell, table in tables.items()}
    first = next(iter(columns.values()), np.zeros(0, np.int64))
    for cell, column in columns.items():
        if not np.array_equal(column, first):
            raise TrialInvalid(
                f"The cell {cell.name} scored other tokens than the cell {next(iter(columns)).name}, so their losses "
                "cannot be compared. Evaluate all cells with the same template and length."
            )
    return first
