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
_NAMES = [*(name for name, _ in _COLUMNS), "example_id", "is_first"]
_CONVERSATION = _NAMES.index("conversation")


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
        self._begin()

    def _begin(self) -> None:
        # Lists of texts, not a tuple a row: the garbage collector would look at each of those again and again.
        self._columns: tuple[list[Any], ...] = tuple([] for _ in _COLUMNS)
        self._seen: set[bytes] = set()
        self._parts: list[list[pa.Array]] = [[] for _ in _NAMES]
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
        """Whether it is time to take the block; rows count when their batch is closed."""
        return max(self._rows, len(self._rejected)) >= _BLOCK_ROWS or self._bytes > _BLOCK_BYTES

    def take(self) -> RowBlock:
        """What was collected; the builder is empty again."""
        if self._columns[0] or not self._parts[0]:
            self._close_batch()
        # In one piece, DuckDB writes a block that is a row group as such; from several it makes parts of row groups,
        # one a thread, which it copies together and writes again when it commits.
        columns = [_in_one_piece(parts) for parts in self._parts]
        block = RowBlock(pa.table(columns, _NAMES), tuple(self._rejected))
        self._begin()
        return block

    def _close_batch(self) -> None:
        """Texts become Arrow's every few thousand rows: kept longer, they cost fresh memory for each of them."""
        arrays = [_array(values, kind) for values, (_, kind) in zip(self._columns, _COLUMNS, strict=True)]
        digests = [conversation_digest(conversation) for conversation in self._columns[_CONVERSATION]]
        identity = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(digests), [None, pa.py_buffer(b"".join(digests))]
        )
        is_first = pa.array(self._are_first(digests), pa.bool_())
        arrays += [pa.ExtensionArray.from_storage(pa.uuid(), identity), is_first]
        for parts, array in zip(self._parts, arrays, strict=True):
            parts.append(array)
        self._rows += len(digests)
        for values in self._columns:
            values.clear()

    def _are_first(self, digests: list[bytes]) -> list[bool]:
        """Whether no row of the block before it is of the same example, for each of a batch's rows."""
        different = set(digests)
        if len(different) == len(digests) and self._seen.isdisjoint(different):
            self._seen |= different
            return [True] * len(digests)
        is_first = []
        for digest in digests:
            is_first.append(digest not in self._seen)
            self._seen.add(digest)
        return is_first


def _in_one_piece(parts: list[pa.Array]) -> pa.Array | pa.ChunkedArray:
    """A column's parts as one. They are let go of, so that only one column at a time is in memory twice.

    More bytes than Arrow's offsets of 32 bits reach stay in several pieces, and a single part is not copied.
    """
    column = pa.chunked_array(parts)
    parts.clear()
    return column.combine_chunks() if column.num_chunks > 1 and column.nbytes < 2**31 else column


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
