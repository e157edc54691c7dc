"""Detects the type of a data file, and reads its records one by one in bounded memory."""

import codecs
import csv
from collections.abc import Generator, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ..data.errors import SourceUnreadable
from ..data.examples import Rejected
from .arrow_records import ARROW_FILE, ARROW_STREAM, arrow_records, parquet_records
from .csv_records import csv_header, csv_records
from .json_layout import HEAD_CHARACTERS, layout_of, no_splits
from .json_parsing import is_json
from .json_records import json_records, jsonl_records
from .records import SourceRecord, plain_text
from .unpacking import open_unpacked

CONTAINERS = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
}
"""File types that can be read, and their extensions; each may be compressed."""

TABLES = ("csv", "parquet", "arrow")
"""Types with column names written by people, perhaps with capitals or spaces."""

PADDED = ("parquet", "arrow")
"""Types that pad each object with the keys of all objects in its column, as null."""

PACKED_ENDINGS = (".gz", ".zst")
_HEAD_BYTES = 2**20
_HEAD_RECORDS = 1_000


def plain_stem(name: str) -> str:
    """A file's name without the extensions for type and compression: "chat.train" for "chat.train.jsonl.gz"."""
    path = Path(name)
    if path.suffix.lower() in PACKED_ENDINGS:
        path = Path(path.stem)
    return path.stem if _kind_by_ending(path.name) else path.name


def is_data_file(name: str) -> bool:
    """Whether a file's name has an extension that can be read."""
    return _kind_by_ending(name) != ""


def _kind_by_ending(name: str) -> str:
    path = Path(name.lower())
    ending = Path(path.stem).suffix if path.suffix in PACKED_ENDINGS else path.suffix
    return next((kind for kind, endings in CONTAINERS.items() if ending in endings), "")


def container_of(path: Path, field_names: frozenset[str] = frozenset()) -> str:
    """Type of a file, one of `CONTAINERS`: by its content, or by its name if the content is ambiguous.

    A file without a known extension is CSV if its first line has one of `field_names`. Raises `SourceUnreadable` if it
    is none of these types.
    """
    with open_unpacked(path) as stream:
        head = stream.read(_HEAD_BYTES)
    by_name = _kind_by_ending(path.name)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((ARROW_FILE, ARROW_STREAM)):
        return "arrow"
    _refuse_unreadable(head, by_name, path.name)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if by_name == "csv" or (not by_name and text[:1] not in b"[{" and _has_header(text, field_names)):
        return "csv"
    if by_name == "jsonl":
        return "json" if _is_array_over_lines(text) else "jsonl"
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        first, _, rest = text.partition(b"\n")
        return "jsonl" if rest.strip() and _is_json(first) else "json"
    if by_name == "json" or not text:
        return "jsonl"
    raise SourceUnreadable(
        f"{path.name} is not JSON, JSONL, CSV, Parquet or Arrow: it begins with "
        f"{plain_text(text[:200].decode('utf-8', 'replace'), 40)!r}. Convert it to one of these."
    )


def _refuse_unreadable(head: bytes, by_name: str, name: str) -> None:
    if head.startswith(b"version https://git-lfs"):
        raise SourceUnreadable(f"{name} is a Git LFS pointer, not the data itself. Fetch it with git lfs pull.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head[:4]:
        raise SourceUnreadable(f"{name} is not UTF-8 text (it looks like UTF-16 or binary data). Save it as UTF-8.")
    if by_name in ("parquet", "arrow"):
        kind = by_name.capitalize()
        raise SourceUnreadable(
            f"{name} has the extension of {kind} but other content. Fetch it again, or correct the extension."
        )


def _is_array_over_lines(text: bytes) -> bool:
    first, _, rest = text.partition(b"\n")
    return text.startswith(b"[") and not (_is_json(first) and rest.strip())


def _is_json(line: bytes) -> bool:
    return is_json(line.decode("utf-8", "replace").strip())


def _has_header(text: bytes, field_names: frozenset[str]) -> bool:
    try:
        header, _ = csv_header(text.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r"))
    except csv.Error:
        return False
    return len(header) > 1 and not field_names.isdisjoint(header)


def read_records(
    path: Path, container: str, split: str | None = None
) -> Generator[SourceRecord | Rejected, None, None]:
    """Every record of a file: its fields and original bytes, or why it was skipped.

    `split` names one of a JSON file's splits; the default is the training split. Raises `SourceUnreadable`, also while
    reading, if the file cannot be read to its end.
    """
    if split and container != "json":
        raise no_splits(path.name, split)
    if container in ("parquet", "arrow"):
        yield from parquet_records(path) if container == "parquet" else arrow_records(path)
        return
    with open_unpacked(path) as stream:
        if container == "csv":
            yield from csv_records(stream, path.name)
        elif container == "json":
            yield from json_records(stream, path.name, split)
        else:
            yield from jsonl_records(stream)


def readable_records(path: Path) -> Iterator[dict[str, Any]]:
    """The fields of every record of a file. Raises `SourceUnreadable`, also for a record that would be skipped."""
    for record in read_records(path, container_of(path)):
        if isinstance(record, Rejected):
            detail = f": {record.detail}" if record.detail else ""
            raise SourceUnreadable(f"Row {record.line:,} of {path.name} cannot be read ({record.reason}{detail}).")
        yield record.fields


def readable_table(path: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The columns that a file's first 1,000 records have, each with its first value that is neither null nor empty text
    (else that), and the fields of every record. Raises `SourceUnreadable` as `readable_records` does, and for a file
    without a record."""
    records = readable_records(path)
    head = list(islice(records, _HEAD_RECORDS))
    if not head:
        raise SourceUnreadable(f"{path.name} has no rows. Check how it was written.")
    columns: dict[str, Any] = {}
    for name, value in chain.from_iterable(fields.items() for fields in head):
        if columns.get(name) in (None, ""):
            columns[name] = value
    return columns, chain(head, records)


def layout_note(path: Path, container: str, split: str | None = None) -> str:
    """A sentence about the parts of a file that are not read, or ""."""
    if container != "json":
        return ""
    with open_unpacked(path) as stream:
        text = stream.read(HEAD_CHARACTERS).decode("utf-8-sig", "replace").lstrip()
    layout = layout_of(text, path.name, split)
    return layout.note if layout else ""
