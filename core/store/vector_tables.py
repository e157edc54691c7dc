"""Embeddings as a job's table: a Parquet file with the ids of examples and their vectors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .embedding_files import Vectors

VECTORS = "vectors"
"""Name of a job's table: example_id, and vector, the bytes of its numbers in half precision."""


def vector_table(example_ids: list[str], vectors: Vectors) -> pa.Table:
    """The vectors as a job's table."""
    width = vectors.shape[1] * vectors.itemsize
    buffers = [None, pa.py_buffer(np.ascontiguousarray(vectors).tobytes())]
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(vectors), buffers)
    return pa.table([pa.array(example_ids, pa.string()), column], ["example_id", "vector"])


def read_vector_table(folder: Path, name: str = VECTORS) -> tuple[pa.ChunkedArray, Vectors]:
    """The example ids of a job's table in its folder, and their vectors [rows x dimensions]."""
    table = pq.read_table(folder / f"{name}.parquet").combine_chunks()
    column = table["vector"].combine_chunks()
    width = column.type.byte_width // 2
    numbers = np.frombuffer(column.buffers()[1], np.float16, len(column) * width, column.offset * width * 2)
    return table["example_id"], numbers.reshape(len(column), width)
