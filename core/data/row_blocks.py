"""Rows on their way into the store, by column: an Arrow table of some of them, with the records rejected between them.

Columns, and not one object a row, are what keeps a million rows quick: Python touches each text as little as it can.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .examples import DatasetRow, Rejected, conversation_digest
from .text_shares import text_shares

BLOCK_ROWS = 122_880
"""Rows of a block: DuckDB's row group. A block that is one, in one piece, is written as such and at once, by several
threads; from several pieces it makes parts of row groups, which it copies together and writes again when it commits."""
_BLOCK_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Some rows in their order, and what was rejected between them.

    `rows` has the columns line, domain, original (bytes), conversation (canonical JSON), prompt, response,
    example_id (Arrow's uuid), is_first: whether no earlier row of the block is of the same example, is_chosen: see
    `DatasetRow`, and the shares of `core.data.text_shares`. `notices` counts the rows that deserve a look, by what they
    have.
    """

    rows: pa.Table
    rejected: tuple[Rejected, ...]
    notices: Mapping[str, int]


class _Texts:
    """A column of texts in UTF-8, end to end: each is copied once, into memory that Arrow and DuckDB then read."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._ends = [0]

    def add(self, text: bytes) -> None:
        self.content += text
        self._ends.append(len(self.content))

    def array(self, kind: pa.DataType) -> pa.Array:
        """As Arrow's large strings or bytes, whose offsets have 64 bits; strings are UTF-8 by construction."""
        ends = pa.py_buffer(np.array(self._ends, np.int64))
        return pa.Array.from_buffers(kind, len(self._ends) - 1, [None, ends, pa.py_buffer(self.content)])


class RowBlockBuilder:
    """Collects rows, and gives them as a block when there are enough."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lines: list[int] = []
        self._domains: list[str] = []
        self._originals, self._conversations, self._prompts, self._responses = _Texts(), _Texts(), _Texts(), _Texts()
        self._digests = bytearray()
        self._seen: set[bytes] = set()
        self._are_first: list[bool] = []
        self._are_chosen: list[bool] = []
        self._rejected: list[Rejected] = []
        self._notices: Counter[str] = Counter()

    def add(
        self,
        line: int,
        domain: str,
        original: bytes,
        conversation: bytes,
        prompt: str,
        response: str,
        is_chosen: bool = False,
    ) -> None:
        """Add a row; `conversation` is its canonical JSON (`Example.to_json`) in UTF-8."""
        self._lines.append(line)
        self._domains.append(domain)
        self._originals.add(original)
        self._conversations.add(conversation)
        self._prompts.add(prompt.encode())
        self._responses.add(response.encode())
        digest = conversation_digest(conversation)
        self._digests += digest
        self._are_first.append(digest not in self._seen)
        self._seen.add(digest)
        self._are_chosen.append(is_chosen)

    def add_record(self, record: DatasetRow | Rejected) -> None:
        """Add a row, or count a rejected record."""
        if isinstance(record, Rejected):
            self._rejected.append(record)
            return
        self._notices.update(record.notices)
        example = record.example
        conversation = example.to_json().encode()
        texts = (record.original, conversation, example.prompt, example.response)
        self.add(record.line, record.domain, *texts, record.is_chosen)

    @property
    def is_full(self) -> bool:
        """Whether it is time to take the block."""
        return (
            len(self._lines) >= BLOCK_ROWS
            or len(self._rejected) >= BLOCK_ROWS
            or len(self._originals.content) + 2 * len(self._conversations.content) > _BLOCK_BYTES
        )

    def take(self) -> RowBlock:
        """What was collected; the builder is empty again."""
        digests = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(self._lines), [None, pa.py_buffer(self._digests)]
        )
        rows = {
            "line": pa.array(self._lines, pa.int64()),
            "domain": pa.array(self._domains, pa.string()),
            "original": self._originals.array(pa.large_binary()),
            "conversation": self._conversations.array(pa.large_string()),
            "prompt": self._prompts.array(pa.large_string()),
            "response": self._responses.array(pa.large_string()),
            "example_id": pa.ExtensionArray.from_storage(pa.uuid(), digests),
            "is_first": pa.array(self._are_first, pa.bool_()),
            "is_chosen": pa.array(self._are_chosen, pa.bool_()),
        }
        shares = text_shares(rows["prompt"], rows["response"])
        rows |= dict(zip(shares.column_names, shares.combine_chunks().columns, strict=True))
        block = RowBlock(pa.table(rows), tuple(self._rejected), dict(self._notices))
        self._begin()
        return block


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
