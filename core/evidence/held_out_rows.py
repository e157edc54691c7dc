"""The held-out rows of a trial: those that its run's reference was never trained on, or a split of their own."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..data.errors import TrialInvalid
from ..data.folds import LARGEST_SHARE, assign_folds
from ..data.listing import listed
from ..models.folds_file import FOLDS_FILE, read_folds
from ..near_duplicates.jobs import DEFAULT_THRESHOLD
from ..store import Store
from ..store.example_domains import example_domains, grouped_examples


def held_out_rows(store: Store, run: dict[str, Any], share: float | None, seed: int = 0) -> pd.DataFrame:
    """example_id, domain and group of a run's held-out rows, each once; their near-duplicates are held out too.

    With a share: a split of its own from the dataset's near-duplicate search at the default threshold. Without: the
    rows that the run's reference held out. Raises `NotFound` without a search, `TrialInvalid` without held-out rows.
    """
    examples = example_domains(store, run["dataset"])
    folds = _own_split(store, run, share, seed) if share is not None else _folds_of(store, run)
    held_out = folds[folds["held_out"]].merge(examples, on="example_id")
    if held_out.empty:
        raise TrialInvalid(
            f"The reference of {run['name']!r} held out no row of this dataset. Give a share to hold out, such as "
            "--held-out 0.1."
        )
    missing = sorted(set(examples["domain"]) - set(held_out["domain"]))
    if missing:
        raise TrialInvalid(f"No row of {listed(missing)} is held out, so nothing would be known of it. Hold out more.")
    return held_out[["example_id", "domain", "group"]].sort_values("example_id", ignore_index=True)


def _own_split(store: Store, run: dict[str, Any], share: float, seed: int) -> pd.DataFrame:
    if not 0 < share <= LARGEST_SHARE:
        raise TrialInvalid(
            f"A held-out share of {share:g} is not possible. Give more than 0 and at most {LARGEST_SHARE:g}."
        )
    return assign_folds(grouped_examples(store, run["dataset"], DEFAULT_THRESHOLD), 1, share, seed)


def _folds_of(store: Store, run: dict[str, Any]) -> pd.DataFrame:
    """The folds that the run's reference was trained with; an empty frame if there are none."""
    description = run["description"]
    reference = description.get("models", {}).get("reference", {})
    name = description.get("cross_fitted", {}).get("name") or reference.get("label", "")
    path = store.workspace / "models" / Path(name).name / FOLDS_FILE
    if not path.exists():
        raise TrialInvalid(
            f"The reference of {run['name']!r} held out no rows. Give a share to hold out, such as --held-out 0.1."
        )
    return read_folds(path)
