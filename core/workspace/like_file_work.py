"""A worker's likeness to the rows of a file: embeds those that have no vector yet, then compares the job's rows."""

import time
from typing import Any

import numpy as np
import pyarrow as pa

from ..data.errors import JobFailed
from ..jobs.example_chunks import packed_ids
from ..jobs.job import Job, read_examples_file
from ..scoring.embeddings.embed import embed
from ..scoring.embeddings.embedding_jobs import EMBEDDED
from ..store.embedding_files import Embeddings, EmbeddingSpec, vectors_in
from ..store.vector_tables import read_vector_table
from .like_file_jobs import KNOWN, TARGETS
from .like_jobs import write_scores


def score_rows(job: Job) -> dict[str, Any]:
    """Write the scores; returns targets, copies (unique rows that nearly repeat a target's), notices, tokens and
    elapsed_seconds. Raises as `embed` does, or `JobFailed` if a target is left without a vector."""
    began = time.monotonic()
    tokens = embed(job)["tokens"]
    example_ids, examples, _ = read_examples_file(job, TARGETS)
    ids = packed_ids(pa.array(example_ids))
    known_ids, known = read_vector_table(job.folder, KNOWN)
    vectors, has_vector = vectors_in(job.folder / EMBEDDED, EmbeddingSpec(**job.request["embeddings"]).key, ids)
    if vectors is None:
        vectors = np.zeros((len(ids), known.shape[1]), np.float16)
    order = np.argsort(ids)
    places = order[np.searchsorted(ids, packed_ids(known_ids), sorter=order)]
    vectors[places], has_vector[places] = known, True
    if not has_vector.all():
        raise JobFailed(
            f"{int((~has_vector).sum()):,} of {len(ids):,} rows of {job.request['origin']} have no vector. Start the "
            "search again."
        )
    copies, notices = write_scores(job, Embeddings(ids, vectors), examples)
    return {
        "targets": len(ids),
        "copies": int(copies.sum()),
        "notices": notices,
        "tokens": tokens,
        "elapsed_seconds": time.monotonic() - began,
    }
