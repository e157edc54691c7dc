"""A loss bundle: the losses of one site's rows in a signed file without text, which other sites can join with theirs.

The file is one line of JSON (the header) and then a Parquet table. Rows and domains are named by keyed hashes
(HMAC-SHA-256), so that who lacks the key cannot tell whether a text is among them.
"""

import hmac
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..data.errors import JsonInvalid, SourceUnreadable
from ..system.paths import open_file
from ..system.untrusted_json import parse_json_object

SCHEMA = pa.schema(
    {
        "row_key": pa.binary(16),
        "domain_key": pa.binary(16),
        "token_count": pa.int64(),
        "base_nll_sum": pa.float64(),
        "reference_nll_sum": pa.float64(),
    }
)
"""The table of a bundle: one line for each conversation, ordered by row_key; sums in nats over token_count."""
MODELS = ("base", "reference", "encoding")
"""What the losses of bundles must have in common: fields of the header, each a fingerprint."""
_FORMAT = "lobass loss bundle"
_VERSION = 1
_FEWEST_KEY_BYTES = 16
_LONGEST_HEADER = 4096


@dataclass(frozen=True, slots=True)
class LossBundle:
    """One site's losses. `fingerprints`: of `MODELS`. `rows_without_loss` were left out. `table`: of `SCHEMA`."""

    fingerprints: Mapping[str, str]
    rows_without_loss: int
    table: pa.Table


@dataclass(frozen=True, slots=True)
class SharedKey:
    """The secret that the sites share. What it hashes depends on the purpose, so no hash serves another."""

    secret: bytes

    def hash(self, purpose: str, content: bytes) -> bytes:
        """HMAC-SHA-256 (32 bytes)."""
        return hmac.digest(self.secret, purpose.encode() + b"\0" + content, "sha256")

    def name(self, purpose: str, text: str) -> bytes:
        """The name (16 bytes) of a row or a domain."""
        return self.hash(purpose, text.encode())[:16]


def read_key(path: Path) -> SharedKey:
    """The key in a file, without line ends at its end. Raises `SourceUnreadable`."""
    secret = _content(path).rstrip(b"\r\n")
    if len(secret) < _FEWEST_KEY_BYTES:
        raise SourceUnreadable(
            f"The key in {path.name} has {len(secret)} bytes, and needs {_FEWEST_KEY_BYTES} or more. "
            "Make one with: openssl rand -hex 32"
        )
    return SharedKey(secret)


def bundle_bytes(bundle: LossBundle, key: SharedKey) -> bytes:
    """The file of a bundle. Equal bundles and keys give equal bytes."""
    body = io.BytesIO()
    pq.write_table(bundle.table.cast(SCHEMA).sort_by("row_key"), body)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        **{name: bundle.fingerprints[name] for name in MODELS},
        "rows": bundle.table.num_rows,
        "rows_without_loss": bundle.rows_without_loss,
        "key": _key_check(key),
    }
    signed = {**header, "signature": _signature(key, header, body.getvalue())}
    return json.dumps(signed).encode() + b"\n" + body.getvalue()


def read_bundle(path: Path, key: SharedKey) -> LossBundle:
    """The bundle in a file; its signature is checked before its table is read. Raises `SourceUnreadable` for a file
    that is no bundle, was signed with another key, was altered or is cut short."""
    line, _, body = _content(path).partition(b"\n")
    try:
        header = parse_json_object(line[:_LONGEST_HEADER].decode("utf-8", "replace"), "The header")
    except JsonInvalid:
        header = {}
    if header.get("format") != _FORMAT:
        raise SourceUnreadable(f"{path.name} is no loss bundle. Make one with bundle losses.")
    if header.get("version") != _VERSION:
        raise SourceUnreadable(
            f"{path.name} is a loss bundle of version {str(header.get('version'))[:20]}, and this program reads "
            f"version {_VERSION}. Use the same version at all sites."
        )
    if header.get("key") != _key_check(key):
        raise SourceUnreadable(f"{path.name} was signed with another key. Give the key that its site used.")
    signature = str(header.pop("signature", ""))
    if not hmac.compare_digest(signature.encode(), _signature(key, header, body).encode()):
        raise SourceUnreadable(f"{path.name} was altered or is cut short after it was signed. Ask for it again.")
    table = _table(body)
    if table is None or table.num_rows != header["rows"] or not _is_sound(table):
        raise SourceUnreadable(f"{path.name} holds a table that this program does not write. Make it again.")
    return LossBundle({name: str(header[name]) for name in MODELS}, int(header["rows_without_loss"]), table)


def _key_check(key: SharedKey) -> str:
    return key.hash("check", b"").hex()[:16]


def _signature(key: SharedKey, header: Mapping[str, Any], body: bytes) -> str:
    return key.hash("bundle", json.dumps(header, sort_keys=True).encode() + b"\n" + body).hex()


def _table(body: bytes) -> pa.Table | None:
    try:
        table = pq.read_table(io.BytesIO(body))
    except (pa.ArrowException, OSError):
        return None
    return table if table.schema.equals(SCHEMA) else None


def _is_sound(table: pa.Table) -> bool:
    """Whether every row has finite losses over some tokens, and a key of its own."""
    if any(column.null_count for column in table.columns) or len(table["row_key"].unique()) != table.num_rows:
        return False
    finite = pc.and_(pc.is_finite(table["base_nll_sum"]), pc.is_finite(table["reference_nll_sum"]))
    return bool(pc.all(pc.and_(finite, pc.greater(table["token_count"], 0)), min_count=0).as_py())


def _content(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read()
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read ({error.strerror}). Check the path.") from error
