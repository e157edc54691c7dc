"""What is known of files before they are imported: format, number of records, problems, and whether they are imported
already."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.errors import NoUsableRows, PathRefused, SourceUnreadable, UserError
from ..store import Store
from ..system.file_hash import file_sha256
from .detection import Detection, detect_format
from .reading import PACKED_ENDINGS
from .source_options import SourceOptions
from .sources import DataFile

OF_ONE_FILE = (SourceUnreadable, NoUsableRows, PathRefused)
"""Errors that say something of one file. Others, as a full disk, would meet the next file too."""
_COUNTED_BYTES = 64 * 2**20
"""Lines of larger files are not counted before the import."""
_HASHED_BYTES = 512 * 2**20
"""Larger files are compared with imported ones only by the import itself."""
_CUT_OFF = "It does not end as JSON does, so it may be cut off: the import counts what cannot be read."
_END_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file to import. `detected` is None, and `error` says why, if it cannot be read. `records`: their number, None
    if it takes long to count; some may be skipped. `sha256`: None for a large file."""

    file: DataFile
    detected: Detection | None
    error: UserError | None = None
    records: int | None = None
    sha256: str | None = None


def list_file(file: DataFile) -> ListedFile:
    """What is known of a file; one that cannot be read has an error."""
    try:
        detected = detect_format(file.path, SourceOptions(split=file.split))
        size = os.stat(file.path).st_size
        if detected.container == "json" and _is_cut_off(file.path, size):
            detected = replace(detected, note=" ".join(filter(None, (detected.note, _CUT_OFF))))
        sha256 = file_sha256(file.path) if size <= _HASHED_BYTES else None
        return ListedFile(file, detected, None, _record_count(file.path, detected.container, size), sha256)
    except OF_ONE_FILE as error:
        return ListedFile(file, None, error)
    except OSError as error:
        return ListedFile(file, None, SourceUnreadable(f"{file.name} cannot be read ({error.strerror})."))


def known_copies(store: Store, files: Iterable[ListedFile]) -> dict[Path, str]:
    """For files whose content is imported already, or in an earlier file of the list: a sentence that says where."""
    listed = list(files)
    imported = {
        sha256: (dataset, source)
        for sha256, dataset, source in store.rows(
            """
            SELECT sha256, dataset.name, source.name FROM source JOIN dataset USING (dataset_id)
            WHERE sha256 IN (SELECT unnest(?::VARCHAR[])) ORDER BY source_id DESC
            """,
            [[item.sha256 for item in listed if item.sha256]],
        )
    }
    sentences: dict[Path, str] = {}
    first: dict[tuple[str, str | None], str] = {}
    for item in listed:
        if item.sha256 is None:
            continue
        if item.sha256 in imported:
            dataset, source = imported[item.sha256]
            sentences[item.file.path] = f"Already imported into {dataset} (as {source})."
        elif (item.sha256, item.file.split) in first:
            sentences[item.file.path] = f"Same content as {first[item.sha256, item.file.split]}."
        first.setdefault((item.sha256, item.file.split), item.file.name)
    return sentences


def _is_cut_off(path: Path, size: int) -> bool:
    """Whether the last character of a file that is not compressed ends neither a list nor an object."""
    if path.suffix.lower() in PACKED_ENDINGS:
        return False
    with open(path, "rb") as file:
        file.seek(max(size - _END_BYTES, 0))
        return not file.read().rstrip().endswith((b"]", b"}"))


def _record_count(path: Path, container: str, size: int) -> int | None:
    """Number of records, where it is quick to know: the rows of a Parquet file, the lines of a JSONL file."""
    if path.suffix.lower() in PACKED_ENDINGS:
        return None
    if container == "parquet":
        try:
            return int(pq.read_metadata(path).num_rows)
        except (pa.ArrowException, OSError):
            return None
    if container != "jsonl" or size > _COUNTED_BYTES:
        return None
    with open(path, "rb") as file:
        return sum(1 for line in file if line.strip())
