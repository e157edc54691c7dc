"""Files of folds: the folds that a reference was trained with, written here or brought along."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from ..data.errors import FoldsUnusable
from ..data.folds import FOLDS_SCHEMA
from ..system.atomic_files import replaced_durably

_EXAMPLE_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
FOLDS_FILE = "folds.parquet"
"""Name of the file in a reference's folder."""


def read_folds(path: Path) -> pd.DataFrame:
    """A file with the columns example_id and fold, and optionally held_out and group, as Parquet or .csv.

    Raises `FoldsUnusable` if it cannot be read as that.
    """
    try:
        found = pd.read_csv(path) if path.suffix == ".csv" else pq.read_table(path).to_pandas()
        if not found.columns.is_unique:
            raise ValueError("it has a column twice")
        found = found.assign(
            held_out=found.get("held_out", False),
            group=found.get("group", range(len(found))),
        )
        if not (is_bool_dtype(found["held_out"]) or is_numeric_dtype(found["held_out"])):
            raise ValueError("held_out is neither true nor false everywhere")
        folds: pd.DataFrame = found[FOLDS_SCHEMA.names].astype(
            {"example_id": str, "fold": int, "held_out": bool, "group": int}
        )
        folds["example_id"] = folds["example_id"].str.lower()
        if not folds["example_id"].str.fullmatch(_EXAMPLE_ID).all():
            raise ValueError("an example_id is not one of this program")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, pa.ArrowException) as error:
        raise FoldsUnusable(
            f"{path} cannot be read as a file of folds ({error}). It needs the columns example_id and fold, and may "
            "have held_out, as Parquet or .csv."
        ) from error
    if folds.empty or folds["example_id"].duplicated().any() or (folds["fold"] < 0).any():
        raise FoldsUnusable(f"{path} has no row, an example twice, or a fold below 0. Give each example one fold.")
    return folds


def write_folds(path: Path, folds: pd.DataFrame) -> None:
    """Write folds (`FOLDS_SCHEMA`) durably, as Parquet, or as CSV if the name ends in .csv."""
    table = folds_table(folds)
    with replaced_durably(path) as temporary:
        (pyarrow.csv.write_csv if path.suffix == ".csv" else pq.write_table)(table, temporary)


def folds_table(folds: pd.DataFrame) -> pa.Table:
    """Folds with the columns and types of `FOLDS_SCHEMA`."""
    return pa.Table.from_pandas(folds, FOLDS_SCHEMA, preserve_index=False)
