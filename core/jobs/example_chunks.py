"""Reads and writes a job's examples in chunks, so that millions of them are never in memory at once.

A file has small row groups; a chunk is a sequence of them. The first chunk is only the first, even smaller group, so
that the first result comes early.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..data.examples import Example

Ids = NDArray[np.bytes_]
"""Example ids, 16 bytes each: 16 MB for a million, compared with 85 MB as text."""

EXAMPLES_SCHEMA = pa.schema([("example_id", pa.string()), ("conversation", pa.string()), ("domain", pa.string())])
CHUNK_ROWS = 16384
CHUNK_BYTES = 32 * 2**20
_FIRST_GROUP_ROWS = 256
_GROUP_ROWS = 2048
_GROUP_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Row groups [first_group, end_group), with the file's rows [start, end)."""

    first_group: int
    end_group: int
    start: int
    end: int

    @property
    def name(self) -> str:
        """Part of a file name, determined by the rows."""
        return f"{self.start:09d}-{self.end:09d}"


def packed_ids(example_ids: pa.ChunkedArray | pa.Array) -> Ids:
    """The ids, given as UUIDs in text, as their 16 bytes."""
    digits = "".join(example_ids.to_pylist()).replace("-", "")
    return np.frombuffer(bytes.fromhex(digits), dtype="S16")


def id_texts(ids: Ids) -> list[str]:
    """Reverse of `packed_ids`."""
    digits = ids.tobytes().hex()
    whole = (digits[start : start + 32] for start in range(0, len(digits), 32))
    return [f"{x[:8]}-{x[8:12]}-{x[12:16]}-{x[16:20]}-{x[20:]}" for x in whole]


def examples_table(conversations: Mapping[str, str]) -> pa.Table:
    """Examples of no domain, as of a job's file: their conversations, in JSON, by example id."""
    columns = [list(conversations), list(conversations.values()), [""] * len(conversations)]
    return pa.table(columns, schema=EXAMPLES_SCHEMA)


def write_examples_file(path: Path, batches: pa.Table | Iterable[pa.RecordBatch]) -> None:
    """Write examples (columns of `EXAMPLES_SCHEMA`) in small row groups."""
    source = batches.to_batches(max_chunksize=65536) if isinstance(batches, pa.Table) else batches
    with pq.ParquetWriter(path, EXAMPLES_SCHEMA) as writer:
        room = _FIRST_GROUP_ROWS
        for batch in source:
            table = pa.Table.from_batches([batch]).select(EXAMPLES_SCHEMA.names).cast(EXAMPLES_SCHEMA)
            for group in _groups(table, room):
                writer.write_table(group)
            room = _GROUP_ROWS if table.num_rows else room


def _groups(table: pa.Table, first_rows: int) -> Iterator[pa.Table]:
    """The table in pieces limited by rows and bytes of text."""
    sizes = np.cumsum(pc.binary_length(table["conversation"]).to_numpy(), dtype=np.int64)
    start, rows = 0, first_rows
    while start < table.num_rows:
        before = int(sizes[start - 1]) if start else 0
        fits = int(np.searchsorted(sizes, before + _GROUP_BYTES, side="right"))
        end = min(start + rows, max(start + 1, fits), table.num_rows)
        yield table.slice(start, end - start)
        start, rows = end, _GROUP_ROWS


class ExampleFile:
    """One of a job's example files, read by row group. `ids` has all its example ids in order."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self.name = path.stem
        parts = [
            packed_ids(self._file.read_row_group(group, columns=["example_id"])["example_id"])
            for group in range(self._file.num_row_groups)
        ]
        self.ids: Ids = np.concatenate([np.zeros(0, "S16"), *parts])

    def __len__(self) -> int:
        return len(self.ids)

    def chunks(self, most_rows: int = CHUNK_ROWS) -> list[Chunk]:
        """The file's chunks of about `most_rows` rows; deterministic."""
        chunks: list[Chunk] = []
        group = row = 0
        metadata = self._file.metadata
        while group < metadata.num_row_groups:
            first, start, size = group, row, 0
            limit = 1 if first == 0 else most_rows
            while group < metadata.num_row_groups and row - start < limit and size < CHUNK_BYTES:
                size += metadata.row_group(group).total_byte_size
                row += metadata.row_group(group).num_rows
                group += 1
            chunks.append(Chunk(first, group, start, row))
        return chunks

    def table(self, start: int, end: int) -> pa.Table:
        """The rows [start, end) with all columns."""
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        ends = np.cumsum(sizes)
        first, last = (int(np.searchsorted(ends, row, side="right")) for row in (start, end - 1))
        groups = self._file.read_row_groups(range(first, last + 1), columns=EXAMPLES_SCHEMA.names)
        return groups.slice(start - int(ends[first]) + sizes[first], end - start)

    @property
    def bytes_a_row(self) -> float:
        """Mean size of a row [bytes]."""
        groups = [self._file.metadata.row_group(group) for group in range(self._file.num_row_groups)]
        return float(sum(group.total_byte_size for group in groups)) / max(1, len(self))

    def read(self, chunk: Chunk) -> Iterator[list[Example]]:
        """A chunk's examples, a row group at a time."""
        for group in range(chunk.first_group, chunk.end_group):
            texts = self._file.read_row_group(group, columns=["conversation"])["conversation"].to_pylist()
            yield [Example.from_json(text) for text in texts]
