"""Rows on their way into the store, by column: an Arrow table of some of them, with the records rejected between them.

Columns, and not one object a row, are what keeps a million rows quick: Python touches each text as little as it can.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from core.examples import DatasetRow, Rejected, conversation_digest

_BATCH_ROWS = 4_096
_BLOCK_ROWS = 122_880
# DuckDB's row group: what is inserted in whole ones is written by several threads.
_BLOCK_BYTES = 256 * 2**20
_COLUMNS = (
    ("line", pa.int64()),
    ("domain", pa.string()),
    ("original", pa.binary()),
    ("conversation", pa.string()),
    ("prompt", pa.string()),
    ("response", pa.string()),
)


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Some rows in their order, and what was rejected between them.

    `rows` has the columns line, domain, original (bytes), conversation (canonical JSON), prompt, response,
    example_id (Arrow's uuid) and is_first: whether no earlier row of the block is of the same example.
    """

    rows: pa.Table
    rejected: tuple[Rejected, ...]


class RowBlockBuilder:
    """Collects rows, and gives them as a block when there are enough."""

    def __init__(self) -> None:
        self._columns: tuple[list[Any], ...] = tuple([] for _ in _COLUMNS)
        self._digests: list[bytes] = []
        self._seen: set[bytes] = set()
        self._batches: list[pa.RecordBatch] = []
        self._rejected: list[Rejected] = []
        self._rows = self._bytes = 0

    def add(self, line: int, domain: str, original: bytes, conversation: bytes, prompt: str, response: str) -> None:
        """Add a row; `conversation` is its canonical JSON (`Example.to_json`) in UTF-8."""
        lines, domains, originals, conversations, prompts, responses = self._columns
        lines.append(line)
        domains.append(domain)
        originals.append(original)
        conversations.append(conversation)
        prompts.append(prompt)
        responses.append(response)
        self._digests.append(conversation_digest(conversation))
        self._rows += 1
        self._bytes += len(original) + 2 * len(conversation)
        if len(lines) >= _BATCH_ROWS or self._bytes > _BLOCK_BYTES:
            self._close_batch()

    def add_record(self, record: DatasetRow | Rejected) -> None:
        """Add a row, or count a rejected record."""
        if isinstance(record, Rejected):
            self._rejected.append(record)
            return
        example = record.example
        conversation = example.to_json().encode()
        self.add(record.line, record.domain, record.original, conversation, example.prompt, example.response)

    @property
    def is_full(self) -> bool:
        """Whether it is time to take the block."""
        return max(self._rows, len(self._rejected)) >= _BLOCK_ROWS or self._bytes > _BLOCK_BYTES

    def take(self) -> RowBlock:
        """What was collected; the builder is empty again."""
        self._close_batch()
        block = RowBlock(pa.Table.from_batches(self._batches), tuple(self._rejected))
        self._batches, self._rejected, self._seen = [], [], set()
        self._rows = self._bytes = 0
        return block

    def _close_batch(self) -> None:
        """Texts become Arrow's every few thousand rows: kept longer, they cost fresh memory for each of them."""
        if not self._digests and self._batches:
            return
        arrays = [_array(values, kind) for values, (_, kind) in zip(self._columns, _COLUMNS, strict=True)]
        identity = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(self._digests), [None, pa.py_buffer(b"".join(self._digests))]
        )
        is_first = []
        seen = self._seen
        for digest in self._digests:
            is_first.append(digest not in seen)
            seen.add(digest)
        arrays += [pa.ExtensionArray.from_storage(pa.uuid(), identity), pa.array(is_first, pa.bool_())]
        names = [*(name for name, _ in _COLUMNS), "example_id", "is_first"]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, names))
        for values in (*self._columns, self._digests):
            values.clear()


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Bytes in a text column are UTF-8 by construction, so they are not checked again."""
    if kind == pa.string() and values and isinstance(values[0], bytes):
        return pa.array(values, pa.binary()).view(pa.string())
    return pa.array(values, kind)


def row_blocks(records: Iterable[DatasetRow | Rejected | RowBlock]) -> Iterator[RowBlock]:
    """Records collected into blocks; blocks among them are passed on."""
    builder = RowBlockBuilder()
    collected = False
    for record in records:
        if isinstance(record, RowBlock):
            if collected:
                yield builder.take()
                collected = False
            yield record
            continue
        builder.add_record(record)
        collected = True
        if builder.is_full:
            yield builder.take()
            collected = False
    if collected:
        yield builder.take()
