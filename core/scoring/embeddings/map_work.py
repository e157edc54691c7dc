"""A worker's map: a job's embeddings in, their places out. A worker that is started again begins anew."""

import time
from typing import Any

import numpy as np
import pyarrow as pa

from ...data.errors import JobFailed
from ...jobs.job import Job
from ...jobs.result_tables import write_result_table
from ...store.maps import PLACES_SCHEMA
from ...store.vector_tables import read_vector_table
from .layout import lay_out, library_version

_CANCELLED = "The map was cancelled; nothing was saved."
RESULT = "places.parquet"
"""File of a finished job: example_id, x and y of every example that has an embedding."""


def make_map(job: Job) -> dict[str, Any]:
    """Lay out the job's rows and write `RESULT`; returns examples, places and elapsed_seconds. Request: seed, library.
    Raises `JobCancelled`, or `JobFailed` for another version of the library than was asked for."""
    began = time.monotonic()
    if (found := library_version()) != job.request["library"]:
        raise JobFailed(
            f"The map was asked for by {job.request['library']}, and {found} is installed here. Install it."
        )
    example_ids, vectors = read_vector_table(job.folder)
    rows = np.flatnonzero(vectors.any(axis=1))
    places = lay_out(vectors[rows], job.request["seed"], lambda what, share: job.report_share(what, share, _CANCELLED))
    columns = [example_ids.take(pa.array(rows)), pa.array(places[:, 0]), pa.array(places[:, 1])]
    write_result_table(job, RESULT, pa.table(columns, schema=PLACES_SCHEMA))
    return {"examples": len(vectors), "places": len(rows), "elapsed_seconds": time.monotonic() - began}
