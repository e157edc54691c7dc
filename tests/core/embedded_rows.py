"""Embeddings given by hand for the rows of a scored store."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.jobs.example_chunks import packed_ids
from core.store import Store
from core.store.embedding_files import adopt_vectors, embeddings_of_run, write_vectors

DESCRIBED = {"models": {"base": {"label": "b"}}, "model_fingerprints": {"base": "b"}, "encoding_fingerprint": "e"}


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float16]:
    """Vectors of length 1, those of zeros as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0).astype(np.float16)


def give_embeddings(store: Store, run: str, vectors: NDArray[np.float64]) -> None:
    """Give a run's rows, by their numbers, these embeddings under its base."""
    found = store.run(run)
    store.save_run(run, found["dataset"], found["loss_sets"], DESCRIBED)
    spec = embeddings_of_run(store.run(run))
    rows = store.rows(f"SELECT example_id::VARCHAR FROM {found['table']} ORDER BY row_number LIMIT {len(vectors)}")
    ids = packed_ids(pa.array([example_id for (example_id,) in rows]))
    made = write_vectors(store.workspace / "made", "made", spec.key, ids, unit(vectors))
    adopt_vectors(store.workspace, spec, made)
