"""Shards: the files through which a worker hands losses to the store's owner.

A shard appears whole or not at all. Its name, which is also in it, and a checksum make ingesting it twice, or
ingesting a damaged one or another's under its name, impossible.
"""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

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


_NAME = b"shard"
"""Key of the shard's name in the metadata of its schema; shards of versions up to 0.8.0 lack it."""
_MODEL = b"model"
"""Key of the model's key; shards of versions up to 0.8.0 lack it."""
_ID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_NEVER_NULL = ("example_id", "token_count", "truncated")


def write_shard(folder: Path, name: str, losses: pa.Table, model: str = "") -> Path:
    """Write `losses` (of `SHARD_SCHEMA`) as `folder/name.arrow`, durably; returns its path. `model`: key of the model
    that made them."""
    payload = _serialise(losses, {_NAME: name, _MODEL: model} if model else {_NAME: name})
    return write_durably(folder / f"{name}.arrow", [hashlib.blake2b(payload, digest_size=16).digest(), payload])


def read_shard(path: Path, model: str = "") -> pa.Table:
    """Read a shard. Raises `StoreUnusable` if its bytes are not those that were written under its name, or no losses
    of examples, or of another model than that of the key `model`."""
    content = path.read_bytes()
    checksum, payload = content[:16], content[16:]
    if hashlib.blake2b(payload, digest_size=16).digest() != checksum:
        raise StoreUnusable(f"Shard {path} is damaged (its checksum differs). Delete it and score again.")
    try:
        read = pa.ipc.open_stream(payload).read_all()
        losses = _with_all_columns(read, path)
    except (pa.ArrowException, ValueError) as error:
        raise _unusable(path, "it is not a table of losses") from error
    made_by = (read.schema.metadata or {}).get(_MODEL, b"").decode(errors="replace")
    if model and made_by and made_by != model:
        raise _unusable(path, "another model made its losses")
    nulls = any(losses[name].null_count for name in _NEVER_NULL)
    if nulls or not pc.all(pc.match_substring_regex(losses["example_id"], _ID), min_count=0).as_py():
        raise _unusable(path, "it has rows without an example's id or without a count of tokens")
    return losses


def _with_all_columns(losses: pa.Table, path: Path) -> pa.Table:
    named = (losses.schema.metadata or {}).get(_NAME, path.stem.encode())
    if named != path.stem.encode():
        raise _unusable(path, f"it is the shard {named.decode(errors='replace')}")
    missing = [field for field in SHARD_SCHEMA if field.name not in losses.column_names]
    for field in missing:
        losses = losses.append_column(field, pa.nulls(len(losses), field.type))
    return losses.cast(SHARD_SCHEMA)


def _unusable(path: Path, why: str) -> StoreUnusable:
    return StoreUnusable(f"Shard {path} cannot be used: {why}. Copy it again or delete it, and score again.")


def shards(folder: Path) -> list[Path]:
    """Finished shards of a folder, oldest name first."""
    return sorted(folder.glob("*.arrow"))


def _serialise(losses: pa.Table, metadata: dict[bytes, str]) -> bytes:
    sink, schema = pa.BufferOutputStream(), SHARD_SCHEMA.with_metadata(metadata)
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(losses.cast(SHARD_SCHEMA).replace_schema_metadata(schema.metadata))
    return bytes(sink.getvalue())
