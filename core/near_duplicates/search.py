"""A worker's search for near-duplicates: a job's examples in, groups out, in bounded memory.

Signatures (512 bytes per example) and shingles (8 bytes each, about one per word) are in memory-mapped files in the
job's folder, about 1 GB for a million examples, which the system caches if it has room. In memory are a batch
of examples and less than 400 bytes an example (measured). A worker that is started again begins anew.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.errors import JobCancelled
from ..data.examples import Example
from ..jobs.job import Job
from ..jobs.job_progress import Progress
from ..jobs.result_tables import write_result_table
from .similarity import (
    PERMUTATIONS,
    ShingleSets,
    Signatures,
    compared_text,
    near_duplicate_groups,
    shingle_sets,
    signatures,
)

_CANCELLED = "The near-duplicate search was cancelled; nothing was saved."
RESULT = "near_duplicates.parquet"
"""File of a finished job: example_id and group_number of every member of a group of two or more."""

_BATCH = 1000


def find_near_duplicates(job: Job) -> dict[str, Any]:
    """Group the job's examples and write `RESULT`; returns examples, groups, grouped_examples and elapsed_seconds.

    Request: threshold. Its `examples.parquet` is read in batches. Raises `JobCancelled`.
    """
    began = time.monotonic()
    groups = near_duplicate_numbers(job, job.request["threshold"])
    example_ids = pq.read_table(job.folder / "examples.parquet", columns=["example_id"])["example_id"]
    return {**write_groups(job, example_ids, groups), "elapsed_seconds": time.monotonic() - began}


def near_duplicate_numbers(job: Job, threshold: float) -> npt.NDArray[np.int64]:
    """The group number of each row of the job's `examples.parquet`, 0 for rows in none. Raises `JobCancelled`."""
    scratch = job.folder / "search"
    shutil.rmtree(scratch, ignore_errors=True)  # left by a killed worker
    scratch.mkdir()
    try:
        sets, sketches = _sketch(job, scratch)
        return near_duplicate_groups(
            sketches, sets, threshold, lambda share: job.report_share("Comparing similar texts", share, _CANCELLED)
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sketch(job: Job, scratch: Path) -> tuple[ShingleSets, Signatures]:
    """Shingles and signatures of all examples, in files."""
    file = pq.ParquetFile(job.folder / "examples.parquet", buffer_size=2**20)
    total, sizes, began = file.metadata.num_rows, [], time.monotonic()
    with open(scratch / "shingles", "wb") as shingles, open(scratch / "signatures", "wb") as sketches:
        for batch in file.iter_batches(_BATCH, columns=["conversation"]):
            texts = [compared_text(Example.from_json(text)) for text in batch["conversation"].to_pylist()]
            sets = shingle_sets(texts)
            np.concatenate(sets).tofile(shingles)
            signatures(sets).tofile(sketches)
            sizes += [len(found) for found in sets]
            elapsed = time.monotonic() - began
            left = elapsed * (total / len(sizes) - 1)
            job.report(Progress("Reading the examples", len(sizes), total, "rows", None, left, elapsed))
            if job.is_cancelled:
                raise JobCancelled(_CANCELLED)
    ends = np.cumsum(sizes, dtype=np.int64)
    hashes = _mapped(scratch / "shingles", np.uint64, (int(ends[-1]),))
    return ShingleSets(hashes, ends), _mapped(scratch / "signatures", np.uint32, (total, PERMUTATIONS))


def _mapped(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    # An empty file cannot be mapped.
    return np.memmap(path, dtype, "r", shape=shape) if shape[0] else np.zeros(shape, dtype)


def write_groups(job: Job, example_ids: pa.ChunkedArray, groups: npt.NDArray[np.int64]) -> dict[str, int]:
    """Write `RESULT` for these examples; returns examples, groups and grouped_examples."""
    members = np.flatnonzero(groups)
    table = pa.table({"example_id": example_ids.take(pa.array(members)), "group_number": groups[members]})
    write_result_table(job, RESULT, table)
    return {"examples": len(groups), "groups": int(groups.max(initial=0)), "grouped_examples": len(members)}
