"""Encoded chunks in a job's folder, tokenised once and read again for the second model.

They can be recomputed, so they are not flushed to disk; a torn file fails its checksum and counts as missing.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.encoded import Encoded
from ..system.atomic_files import write_whole

_SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("scored", pa.list_(pa.bool_())),
        ("truncated", pa.bool_()),
        ("reason", pa.string()),
        ("left_out", pa.float64()),
        ("is_end", pa.list_(pa.bool_())),
    ]
)


def write_encoded_chunk(path: Path, rows: Sequence[Encoded]) -> None:
    """Write a chunk's rows, in order, atomically."""
    ends = np.cumsum([0, *(len(row.input_ids) for row in rows)]).astype(np.int32)
    ids = np.concatenate([np.zeros(0, np.int32), *(row.input_ids for row in rows)])
    scored = np.concatenate([np.zeros(0, np.bool_), *(row.scored for row in rows)])
    is_end = np.concatenate([np.zeros(0, np.bool_), *(row.is_end for row in rows)])
    columns = [
        pa.ListArray.from_arrays(ends, ids),
        pa.ListArray.from_arrays(ends, scored),
        pa.array([row.truncated for row in rows], pa.bool_()),
        pa.array([row.reason for row in rows], pa.string()),
        pa.array([row.left_out for row in rows], pa.float64()),
        pa.ListArray.from_arrays(ends, is_end),
    ]
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, _SCHEMA, options=options) as writer:
        writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
    payload = sink.getvalue()
    path.parent.mkdir(exist_ok=True)
    write_whole(path, [hashlib.blake2b(payload, digest_size=16).digest(), payload])


def read_encoded_chunk(path: Path) -> list[Encoded] | None:
    """A chunk's rows, or None if the file is missing, fails its checksum or is another version's."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    if hashlib.blake2b(content[16:], digest_size=16).digest() != content[:16]:
        return None
    table = pa.ipc.open_stream(pa.py_buffer(content[16:])).read_all()
    if table.schema != _SCHEMA:
        return None
    batch = table.combine_chunks().to_batches()[0]
    ends = batch["input_ids"].offsets.to_numpy()
    ids = batch["input_ids"].values.to_numpy()
    scored = batch["scored"].values.to_numpy(zero_copy_only=False)
    is_end = batch["is_end"].values.to_numpy(zero_copy_only=False)
    return [
        Encoded(ids[start:end], scored[start:end], truncated, reason, left_out, is_end=is_end[start:end])
        for start, end, truncated, reason, left_out in zip(
            ends[:-1].tolist(),
            ends[1:].tolist(),
            batch["truncated"].to_pylist(),
            batch["reason"].to_pylist(),
            batch["left_out"].to_pylist(),
            strict=True,
        )
    ]
