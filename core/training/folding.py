"""The folds of a training job: those given with it, or made from its examples on the first start."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from ..data.folds import assign_folds
from ..jobs.job import Job
from ..models.folds_file import FOLDS_FILE, read_folds, write_folds
from ..near_duplicates.search import near_duplicate_numbers

log = logging.getLogger("worker")


def folds_of(job: Job, example_ids: list[str], domains: list[str]) -> pd.DataFrame | None:
    """The job's folds (`FOLDS_SCHEMA`), None if it needs none; written to its folder, so that resuming keeps them.

    Request: `folding` with folds, held_out, seed and threshold, or a file of folds in the job's folder.
    """
    path = job.folder / FOLDS_FILE
    if path.exists():
        return read_folds(path)
    request: dict[str, Any] | None = job.request.get("folding")
    if request is None:
        return None
    numbers = near_duplicate_numbers(job, request["threshold"])
    alone = -1 - np.arange(len(example_ids))  # a row without near-duplicates is a group of its own
    rows = pd.DataFrame(
        {"example_id": example_ids, "domain": domains, "group": np.where(numbers > 0, numbers, alone)}
    ).drop_duplicates("example_id")
    folds = assign_folds(rows, request["folds"], request["held_out"], request["seed"])
    write_folds(path, folds)
    log.info(
        "%s examples in %s groups of near-duplicates: %s folds, %s examples held out", f"{len(folds):,}",
        f"{folds['group'].nunique():,}", request["folds"], f"{int(folds['held_out'].sum()):,}",
    )  # fmt: skip
    return folds
