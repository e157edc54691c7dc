"""Shards: the files through which a worker hands losses to the store's owner.

A shard appears whole or not at all. Its name and a checksum make ingesting it twice, or ingesting a damaged one,
impossible.
"""

import hashlib
from pathlib import Path

import pyarrow as pa

from ..data.errors import StoreUnusable
from ..system.atomic_files import write_durably

SHARD_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("nll_sum", pa.float64()),
        ("token_count", pa.int32()),
        ("truncated", pa.bool_()),
        ("reason", pa.string()),
        ("left_out", pa.float32()),
        ("end_nll_sum", pa.float64()),
        ("end_token_count", pa.int32()),
    ]
)
"""One row an example: nll_sum [nats], null with a reason where there is none; token_count [scored tokens]; left_out
(share of the reply that the chat template does not write), null in shards of versions up to 0.5.0; end_nll_sum [nats]
and end_token_count, the part of both on tokens that end a reply, null in shards of versions up to 0.7.0."""


def write_shard(folder: Path, name: str, losses: pa.Table) -> Path:
    """Write `losses` (of `SHARD_SCHEMA`) as `folder/name.arrow`, durably; returns its path."""
    payload = _serialise(losses)
    return write_durably(folder / f"{name}.arrow", [hashlib.blake2b(payload, digest_size=16).digest(), payload])


def read_shard(path: Path) -> pa.Table:
    """Read a shard. Raises `StoreUnusable` if its bytes are not those that were written."""
    content = path.read_bytes()
    checksum, payload = content[:16], content[16:]
    if hashlib.blake2b(payload, digest_size=16).digest() != checksum:
        raise StoreUnusable(f"Shard {path} is damaged (its checksum differs). Delete it and score again.")
    losses = pa.ipc.open_stream(payload).read_all()
    missing = [field for field in SHARD_SCHEMA if field.name not in losses.column_names]
    for field in missing:
        losses = losses.append_column(field, pa.nulls(len(losses), field.type))
    return losses


def shards(folder: Path) -> list[Path]:
    """Finished shards of a folder, oldest name first."""
    return sorted(folder.glob("*.arrow"))


def _serialise(losses: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SHARD_SCHEMA) as writer:
        writer.write_table(losses.cast(SHARD_SCHEMA))
    return bytes(sink.getvalue())
